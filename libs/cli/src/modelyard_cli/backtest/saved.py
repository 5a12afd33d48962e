"""The stream of a backtest on disk: rows that were read from a log are the same when the run goes on."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard_cli.demo.data import Stream
from modelyard_cli.stack.layout import StackError

FILE: Final = "stream.parquet"
FACTS: Final = b"modelyard"


def save(stream: Stream, folder: Path, source: dict[str, Any]) -> None:
    """Write a stream and where it came from, in one step."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {f"number {at}": stream.numbers[:, at] for at in range(len(stream.numeric))}
    columns |= {f"word {at}": pa.array(stream.words[:, at], pa.string()) for at in range(len(stream.categorical))}
    columns["label"] = pa.array(stream.labels.tolist(), pa.string() if stream.classes else pa.float64())
    columns |= {name: values for name in ("times", "label_times") if (values := getattr(stream, name)) is not None}
    facts = {name: getattr(stream, name) for name in ("name", "target", "numeric", "categorical", "classes", "notes")}
    table = pa.table(columns).replace_schema_metadata({FACTS: json.dumps({"source": source, **facts})})
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{FILE}.draft"
    pq.write_table(table, draft)
    draft.replace(folder / FILE)


def saved(folder: Path, source: dict[str, Any]) -> Stream | None:
    """The stream that was saved from the same source; None if none was. StackError if another one was."""
    import pyarrow.parquet as pq

    path = folder / FILE
    if not path.exists():
        return None
    table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[FACTS])
    if facts.pop("source") != source:
        raise StackError(
            f"{folder} holds a backtest of other rows; use another --report folder, or remove it with `rm -r {folder}`"
        )
    texts: dict[str, Any] = {name: value if isinstance(value, str) else tuple(value) for name, value in facts.items()}
    moments: dict[str, Any] = {
        name: table.column(name).to_numpy() for name in ("times", "label_times") if name in table.column_names
    }
    rows = table.num_rows
    return Stream(
        **texts,
        numbers=_matrix(table, "number", len(texts["numeric"])).astype(np.float64).reshape(rows, -1),
        words=_matrix(table, "word", len(texts["categorical"])),
        labels=np.array(table.column("label").to_pylist(), dtype=object),
        **moments,
    )


def _matrix(table: Any, kind: str, count: int) -> Any:
    columns = [np.array(table.column(f"{kind} {at}").to_pylist(), dtype=object) for at in range(count)]
    return np.column_stack(columns) if columns else np.empty((table.num_rows, 0), dtype=object)
