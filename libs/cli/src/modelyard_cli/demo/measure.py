"""What the demo measures: counts that must add up, accuracies, the frozen first version beside the platform."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.context import Platform
from modelyard_cli.demo.data import Stream
from modelyard_flavours import load_model

PARTS: Final = 8
STORE_TIMEOUT_S: Final = 60.0
COUNTS_SQL: Final = """
SELECT
    (SELECT count() FROM predictions
        WHERE model = {model:String} AND startsWith(prediction_id, {prefix:String}) AND status = 'ok') AS stored,
    (SELECT uniqExact(prediction_id) FROM predictions
        WHERE model = {model:String} AND startsWith(prediction_id, {prefix:String}) AND status = 'ok') AS distinct,
    (SELECT uniqExact(prediction_id) FROM v_matched
        WHERE model = {model:String} AND startsWith(prediction_id, {prefix:String})) AS joined,
    (SELECT sum(cost_usd) FROM predictions WHERE model = {model:String}) AS cost_usd
"""


def counts(platform: Platform, model: str, prefix: str, sent: int, labels_sent: int) -> dict[str, Any]:
    """What ClickHouse holds, once it holds all that was sent or the patience is over."""
    deadline = time.monotonic() + STORE_TIMEOUT_S
    while True:
        [found] = platform.query(COUNTS_SQL, {"model": model, "prefix": prefix})
        complete = found["stored"] >= sent and found["joined"] >= labels_sent
        if complete or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def frozen_outputs(platform: Platform, stream: Stream, first: int, version: int = 1) -> NDArray[np.object_]:
    """Outputs of a version for every row from `first` on: what it would have answered alone."""
    file = platform.registry.manifest_file(stream.name, version)
    manifest = file.manifest
    with tempfile.TemporaryDirectory() as folder:
        predictor = load_model(manifest, platform.registry.download(file, Path(folder)))
        scores = predictor.predict(
            _ordered(stream.numbers[first:], stream.numeric, manifest.signature.numeric),
            _ordered(stream.words[first:], stream.categorical, manifest.signature.categorical),
        )
    if not stream.classes:
        return np.asarray(scores[:, 0], dtype=object)
    names = np.array(predictor.classes, dtype=object)
    return np.asarray(names[np.argmax(scores, axis=1)], dtype=object)


def _ordered(table: NDArray[Any], have: tuple[str, ...], want: tuple[str, ...]) -> NDArray[Any]:
    return table[:, [have.index(name) for name in want]]


def row_scores(
    outputs: Sequence[object] | NDArray[Any], truth: NDArray[np.object_], stream: Stream
) -> NDArray[np.float64]:
    """Per row: 1 for a right class and 0 for a wrong one, or the absolute error of a regression. Shape (rows,)."""
    found = np.asarray(outputs, dtype=object)
    if stream.classes:
        return np.asarray(found == truth, dtype=np.float64)
    return np.abs(found.astype(np.float64) - truth.astype(np.float64))


def mean_by_part(scores: NDArray[Any]) -> list[float]:
    """Mean in each of PARTS consecutive parts. scores: shape (rows,)."""
    return [round(float(part.mean()), 4) for part in np.array_split(scores, PARTS)]


def rolling(scores: NDArray[Any], window: int = 500, points: int = 240) -> list[tuple[int, float]]:
    """(row, mean over the window that ends there), thinned to about `points` points."""
    if len(scores) < window:
        return [(len(scores), float(scores.mean()))]
    sums = np.cumsum(np.concatenate([[0.0], scores.astype(np.float64)]))
    ends = np.unique(np.linspace(window, len(scores), points).astype(int))
    return [(int(end), float((sums[end] - sums[end - window]) / window)) for end in ends]
