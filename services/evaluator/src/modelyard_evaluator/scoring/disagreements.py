"""Rows on which only one of two classifiers is right: a sample for people, newest first."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelyard_contracts.numbers import finite_or_none

ROWS: Final = 20
"""Rows per side that an evaluation keeps; it is read whole with every list."""
MAX_COLUMNS: Final = 32
MAX_TEXT_CHARS: Final = 200


def disagreements(table: pa.Table, folder: Path, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return {right, row, label, champion, challenger} of at most ROWS rows per side. table: oldest row first."""
    labels = np.array(table[job["label_column"]].to_pylist(), dtype=np.str_)
    new = _classes(folder, job["new"])
    old = np.full(len(labels), job["baseline"]["class"]) if job["old"] is None else _classes(folder, job["old"])
    only_new, only_old = (new == labels) & (old != labels), (old == labels) & (new != labels)
    answers = {"label": labels, "champion": old, "challenger": new}
    return [
        {
            "right": right,
            "row": _shown(row, job["label_column"]),
            **{name: str(classes[place]) for name, classes in answers.items()},
        }
        for right, only in (("challenger", only_new), ("champion", only_old))
        for place, row in _newest(table, only)
    ]


def _newest(table: pa.Table, chosen: NDArray[np.bool_]) -> list[tuple[int, dict[str, Any]]]:
    """The newest chosen rows with their places."""
    places = np.flatnonzero(chosen)[::-1][:ROWS]
    return list(zip(places.tolist(), table.take(pa.array(places)).to_pylist(), strict=True))


def _classes(folder: Path, side: str) -> NDArray[np.str_]:
    """The predicted class of each row."""
    with np.load(folder / f"{side}.npz", allow_pickle=False) as stored:
        predicted: NDArray[np.str_] = stored["classes"][stored["scores"].argmax(axis=1)]
    return predicted


def _shown(row: dict[str, Any], label: str) -> dict[str, Any]:
    """The first columns of a row, as JSON holds them."""
    columns = [name for name in row if name != label][:MAX_COLUMNS]
    return {name: _value(row[name]) for name in columns}


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return finite_or_none(value)
    return value if value is None or isinstance(value, int) else str(value)[:MAX_TEXT_CHARS]
