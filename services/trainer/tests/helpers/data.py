"""Training files for tests."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task

START = datetime(2026, 1, 1, tzinfo=UTC)


def moments(rows: int) -> pa.Array:
    """A minute between rows."""
    return pa.array([START + timedelta(minutes=row) for row in range(rows)], pa.timestamp("us", tz="UTC"))


def training_table(rows: int = 400, seed: int = 3) -> pa.Table:
    """Two numbers with missing values, one category, two classes."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=rows), rng.normal(size=rows)
    kind = rng.choice(np.array(["a", "b", None], dtype=object), rows)
    up = x + y**2 + (kind == "a") + rng.normal(size=rows) * 0.4 > 1
    x[rng.random(rows) < 0.05] = np.nan
    return pa.table(
        {
            "x": pa.array(x, from_pandas=True),
            "y": y,
            "kind": pa.array(kind.tolist(), pa.string()),
            "label": np.where(up, "UP", "DOWN"),
            "occurred_at": moments(rows),
        }
    )


def training_signature(classes: tuple[str, ...] = ("DOWN", "UP")) -> Signature:
    """The signature of training_table."""
    columns = (Column(name="x"), Column(name="y"), Column(name="kind", type=ColumnType.CATEGORY))
    return Signature(columns=columns, output=Output(task=Task.BINARY, classes=classes))


def write_training_file(path: Path, rows: int = 400) -> Path:
    pq.write_table(training_table(rows), path)
    return path


def all_types_table(rows: int = 300, seed: int = 5) -> pa.Table:
    """A column of every type, with missing values; `value` depends on most of them."""
    rng = np.random.default_rng(seed)
    amount, count = rng.normal(size=rows), rng.integers(0, 5, rows)
    member, since = rng.random(rows) < 0.5, rng.integers(0, 100, rows)
    plan = rng.choice(np.array(["basic", "pro", None], dtype=object), rows)
    note = [f"order number {n} was delivered {'late' if n % 3 == 0 else 'in time'}" for n in range(rows)]
    value = 10 * amount + 3 * count + 5 * member + (plan == "pro") * 4 + np.array([n % 3 == 0 for n in range(rows)]) * 8
    return pa.table(
        {
            "amount": amount,
            "count": pa.array([None if n % 50 == 0 else int(c) for n, c in enumerate(count)], pa.int64()),
            "member": member,
            "since": pa.array([START - timedelta(days=int(n)) for n in since], pa.timestamp("us", tz="UTC")),
            "plan": pa.array(plan.tolist(), pa.string()),
            "note": note,
            "value": value + rng.normal(size=rows) * 0.5,
            "occurred_at": moments(rows),
        }
    )


def text_table(rows: int = 300, seed: int = 6) -> pa.Table:
    """One text and three classes."""
    rng = np.random.default_rng(seed)
    words = {
        "praise": ["great", "lovely", "thanks"],
        "complaint": ["broken", "late", "refund"],
        "question": ["how", "when"],
    }
    label = rng.choice(list(words), rows)
    text = [" ".join(rng.choice([*words[one], "the", "order", "arrived", "today"], 12)) for one in label]
    return pa.table({"message": text, "label": label, "occurred_at": moments(rows)})
