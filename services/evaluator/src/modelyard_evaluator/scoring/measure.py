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
import pyarrow.parquet as pq
from numpy.typing import NDArray

from modelyard_contracts.manifest import ManifestFile, ModelManifest
from modelyard_evaluator.scoring.columns import inputs_of
from modelyard_evaluator.scoring.confinement import confine_scorer
from modelyard_evaluator.scoring.errors import ModelBroken

WARM_UP: Final = 20
BLOCKS, BLOCK_ROWS = 5, 100
"""The best block's p95 counts: load from other processes slows some blocks, a slow model slows all."""
BATCH_ROWS: Final = 1_000

Numbers = NDArray[np.float64]
Texts = NDArray[np.object_]


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Write FOLDER/<side>.npz with `scores` (rows, classes), or (rows, 1) of values; returns latency and memory."""
    model = folder / job["side"]
    manifest = ManifestFile.read((model / "manifest.json").read_bytes()).manifest
    confine_scorer(folder, job["side"], manifest)
    numeric, texts = inputs_of(pq.ParquetFile(folder / "rows.parquet").read(), manifest.signature)
    try:
        scores, latency_ms = _predict(manifest, model, numeric, texts)
    except Exception as error:
        raise ModelBroken(f"{type(error).__name__}: {error}") from error
    if scores.shape != (len(numeric), len(manifest.signature.classes) or 1) or not np.isfinite(scores).all():
        raise ModelBroken(f"its scores have shape {scores.shape} or are not finite")
    np.savez(folder / f"{job['side']}.npz", scores=scores, classes=np.array(manifest.signature.classes, dtype=np.str_))
    return {"latency_ms_p95": latency_ms, "memory_mib": psutil.Process().memory_info().rss / 2**20}


def _predict(manifest: ModelManifest, folder: Path, numeric: Numbers, texts: Texts) -> tuple[Numbers, float]:
    from modelyard_flavours import load_model

    predictor = load_model(manifest, folder)
    batches = [slice(start, start + BATCH_ROWS) for start in range(0, len(numeric), BATCH_ROWS)]
    scores = np.concatenate([predictor.predict(numeric[batch], texts[batch]) for batch in batches])
    return scores, _latency_ms(predictor, numeric, texts)


def _latency_ms(predictor: Any, numeric: Numbers, texts: Texts) -> float:
    """p95 latency of single-row predictions."""
    for row in range(min(WARM_UP, len(numeric))):
        predictor.predict(numeric[row : row + 1], texts[row : row + 1])
    blocks = []
    for block in range(BLOCKS):
        durations = []
        for offset in range(BLOCK_ROWS):
            row = (block * BLOCK_ROWS + offset) % len(numeric)
            started = time.perf_counter()
            predictor.predict(numeric[row : row + 1], texts[row : row + 1])
            durations.append(time.perf_counter() - started)
        blocks.append(float(np.quantile(durations, 0.95)))
    return min(blocks) * 1000
