"""Score one version in a process of its own: predictions on the rows, latency, memory.

`memory_mib` is the resident memory of that process at its end: interpreter, libraries and rows, including pages shared
with the parent it was forked from. Both sides are forked from the same parent, so their difference is due to the
versions alone, and the figure stays comparable with that of a process started from scratch.
"""

import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from modelyard_contracts.manifest import ModelManifest
from modelyard_evaluator.scoring.errors import ModelBroken

WARM_UP: Final = 20
BLOCKS, BLOCK_ROWS = 5, 100
"""The best block's p95 counts: load from other processes slows some blocks, a slow model slows all."""
BATCH_ROWS: Final = 1_000


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Write FOLDER/<side>.npz with `scores` (rows, classes) and `classes`; returns latency and memory."""
    model = folder / job["side"]
    manifest = ModelManifest.model_validate_json((model / "manifest.json").read_bytes())
    numeric, categorical = columns(pq.ParquetFile(folder / "rows.parquet").read(), manifest)
    from modelyard_flavours import load_model

    try:
        predictor = load_model(manifest, model)
        parts = [
            predictor.predict(numeric[start : start + BATCH_ROWS], categorical[start : start + BATCH_ROWS])
            for start in range(0, len(numeric), BATCH_ROWS)
        ]
        scores = np.concatenate(parts)
        latency_ms = _latency_ms(predictor, numeric, categorical)
    except Exception as error:
        raise ModelBroken(f"{type(error).__name__}: {error}") from error
    if scores.shape != (len(numeric), len(predictor.classes)) or not np.isfinite(scores).all():
        raise ModelBroken(f"its scores have shape {scores.shape} or are not finite")
    np.savez(folder / f"{job['side']}.npz", scores=scores, classes=np.array(predictor.classes, dtype=np.str_))
    return {"latency_ms_p95": latency_ms, "memory_mib": psutil.Process().memory_info().rss / 2**20}


def columns(table: pa.Table, manifest: ModelManifest) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """The table in the order of the version's feature schema; a feature without a column is missing in every row."""
    schema, rows = manifest.feature_schema, table.num_rows
    numeric = np.full((rows, len(schema.numeric)), np.nan)
    categorical = np.full((rows, len(schema.categorical)), None, dtype=object)
    for place, name in enumerate(schema.numeric):
        if name in table.column_names:
            # Converted through a list, whose None becomes NaN: pyarrow's own conversion imports pandas, which would
            # count as the model's memory and dominate the start.
            numeric[:, place] = table[name].cast(pa.float64()).to_pylist()
    for place, name in enumerate(schema.categorical):
        if name in table.column_names:
            categorical[:, place] = table[name].cast(pa.string()).to_pylist()
    return numeric, categorical


def _latency_ms(predictor: Any, numeric: NDArray[np.float64], categorical: NDArray[np.object_]) -> float:
    """p95 latency of single-row predictions."""
    for row in range(min(WARM_UP, len(numeric))):
        predictor.predict(numeric[row : row + 1], categorical[row : row + 1])
    blocks = []
    for block in range(BLOCKS):
        taken = []
        for offset in range(BLOCK_ROWS):
            row = (block * BLOCK_ROWS + offset) % len(numeric)
            started = time.perf_counter()
            predictor.predict(numeric[row : row + 1], categorical[row : row + 1])
            taken.append(time.perf_counter() - started)
        blocks.append(float(np.quantile(taken, 0.95)))
    return min(blocks) * 1000
