"""One version, alone in a process of its own: its scores on the rows, its latency, its memory.

`memory_mib` is the resident memory of that process at its end: interpreter, libraries and rows, also as far as they are
shared with the parent it was forked from. Both sides start from the same parent, so the difference between them is the
versions' own. It is no less for being shared: the figure stays comparable with one of a process that started plainly.
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
from modelyard_evaluator.scorer.errors import ModelBroken

WARM_UP: Final = 20
BLOCKS, BLOCK_ROWS = 5, 100
"""The p95 of each block is taken and the best block counts: a neighbour's load slows some blocks, the model all."""
BATCH_ROWS: Final = 1_000


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Writes FOLDER/<side>.npz with `scores` (rows, classes) and `classes`."""
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
        raise ModelBroken(f"its scores have the shape {scores.shape} or hold values that are not finite")
    np.savez(folder / f"{job['side']}.npz", scores=scores, classes=np.array(predictor.classes, dtype=np.str_))
    return {"latency_ms_p95": latency_ms, "memory_mib": psutil.Process().memory_info().rss / 2**20}


def columns(table: pa.Table, manifest: ModelManifest) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """The table in the order of the version's contract; a feature that the rows lack is missing everywhere."""
    schema, rows = manifest.feature_schema, table.num_rows
    numeric = np.full((rows, len(schema.numeric)), np.nan)
    categorical = np.full((rows, len(schema.categorical)), None, dtype=object)
    for place, name in enumerate(schema.numeric):
        if name in table.column_names:
            # By way of a list, whose None becomes NaN: pyarrow's own ways, and its NaN, import pandas, which would
            # count as the model's memory and take longer than all the rest.
            numeric[:, place] = table[name].cast(pa.float64()).to_pylist()
    for place, name in enumerate(schema.categorical):
        if name in table.column_names:
            categorical[:, place] = table[name].cast(pa.string()).to_pylist()
    return numeric, categorical


def _latency_ms(predictor: Any, numeric: NDArray[np.float64], categorical: NDArray[np.object_]) -> float:
    """p95 of predictions of one row."""
    for row in range(min(WARM_UP, len(numeric))):
        predictor.predict(numeric[row : row + 1], categorical[row : row + 1])
    blocks = []
    for block in range(BLOCKS):
        taken = []
        for offset in range(BLOCK_ROWS):
            row = (block * BLOCK_ROWS + offset) % len(numeric)
            began = time.perf_counter()
            predictor.predict(numeric[row : row + 1], categorical[row : row + 1])
            taken.append(time.perf_counter() - began)
        blocks.append(float(np.quantile(taken, 0.95)))
    return min(blocks) * 1000
