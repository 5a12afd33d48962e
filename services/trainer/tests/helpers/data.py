"""Training files for tests."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from modelyard_contracts.manifest import Feature, FeatureKind, FeatureSchema

START = datetime(2026, 1, 1, tzinfo=UTC)


def training_table(rows: int = 400, seed: int = 3) -> pa.Table:
    """Two numbers with holes, one category, two classes; a minute between rows."""
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
            "occurred_at": pa.array(
                [START + timedelta(minutes=place) for place in range(rows)], pa.timestamp("us", tz="UTC")
            ),
        }
    )


def write_training_file(path: Path, rows: int = 400) -> Path:
    pq.write_table(training_table(rows), path)
    return path


def training_schema() -> FeatureSchema:
    """The contract of training_table."""
    return FeatureSchema(
        features=(Feature(name="x"), Feature(name="y"), Feature(name="kind", kind=FeatureKind.CATEGORICAL)),
        classes=("DOWN", "UP"),
    )
