"""What the demo measures: counts that must add up, accuracies, the frozen first version beside the platform."""

import tempfile
import time
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
        WHERE model = {model:String} AND startsWith(prediction_id, {prefix:String})) AS stored,
    (SELECT uniqExact(prediction_id) FROM predictions
        WHERE model = {model:String} AND startsWith(prediction_id, {prefix:String})) AS distinct,
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


def frozen_classes(platform: Platform, stream: Stream, first: int) -> NDArray[np.object_]:
    """What version 1 would have answered to every row from `first` on, had nothing ever been retrained."""
    manifest = platform.registry.manifest(stream.name, 1)
    with tempfile.TemporaryDirectory() as folder:
        predictor = load_model(manifest, platform.registry.download(manifest, Path(folder)))
        scores = predictor.predict(
            _ordered(stream.numbers[first:], stream.numeric, manifest.feature_schema.numeric),
            _ordered(stream.words[first:], stream.categorical, manifest.feature_schema.categorical),
        )
    names = np.array(predictor.classes, dtype=object)
    return np.asarray(names[np.argmax(scores, axis=1)], dtype=object)


def _ordered(table: NDArray[Any], have: tuple[str, ...], want: tuple[str, ...]) -> NDArray[Any]:
    return table[:, [have.index(name) for name in want]]


def accuracy_by_part(right: NDArray[np.bool_]) -> list[float]:
    """Share of right answers in each of PARTS consecutive parts. right: shape (rows,)."""
    return [round(float(part.mean()), 4) for part in np.array_split(right, PARTS)]


def rolling(right: NDArray[np.bool_], window: int = 500, points: int = 240) -> list[tuple[int, float]]:
    """(row, accuracy over the window that ends there), thinned to about `points` points."""
    if len(right) < window:
        return [(len(right), float(right.mean()))]
    sums = np.cumsum(np.concatenate([[0], right.astype(np.int64)]))
    ends = np.unique(np.linspace(window, len(right), points).astype(int))
    return [(int(end), float((sums[end] - sums[end - window]) / window)) for end in ends]
