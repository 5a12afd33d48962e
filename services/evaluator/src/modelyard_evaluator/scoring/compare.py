"""Compare two measured sides with paired statistics."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from modelyard_evaluator.domain.statistics.classification import (
    Bools,
    Estimate,
    Floats,
    Ints,
    accuracy,
    balanced_accuracy,
    log_loss,
)

SMOOTHING = 1.0


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """The fields of domain.verdict.Comparison without costs and name, plus `by_class`."""
    truth = np.array(
        pq.ParquetFile(folder / "rows.parquet").read()["label"].cast(pa.string()).to_pylist(), dtype=np.str_
    )
    new_right, new_probability = _scored(folder / f"{job['new']}.npz", truth)
    if job["baseline_class"] is None:
        old_right, old_probability = _scored(folder / f"{job['old']}.npz", truth)
    else:
        old_right = truth == job["baseline_class"]
        old_probability = _shares(truth)
    labels = np.unique(truth, return_inverse=True)[1].astype(np.int64)
    found = _estimate(job, labels, (old_right, old_probability), (new_right, new_probability))
    return {
        "metric": job["metric"],
        "rows": len(truth),
        "champion": found.champion,
        "challenger": found.challenger,
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
        "test": found.test,
        "wins": found.wins,
        "losses": found.losses,
        "by_class": {
            str(label): {
                "rows": int((truth == label).sum()),
                "champion_right": int(old_right[truth == label].sum()),
                "challenger_right": int(new_right[truth == label].sum()),
            }
            for label in np.unique(truth)
        },
    }


def _estimate(job: dict[str, Any], labels: Ints, old: tuple[Bools, Floats], new: tuple[Bools, Floats]) -> Estimate:
    if job["metric"] == "accuracy":
        return accuracy(old[0], new[0], job["confidence"])
    if job["metric"] == "balanced_accuracy":
        return balanced_accuracy(labels, old[0], new[0], job["confidence"], job["seed"])
    return log_loss(old[1], new[1], job["confidence"], job["seed"])


def _scored(file: Path, truth: NDArray[np.str_]) -> tuple[Bools, Floats]:
    """Correctness and probability of the true class per row; a label unknown to the model has probability 0."""
    with np.load(file, allow_pickle=False) as stored:
        scores, classes = stored["scores"], stored["classes"]
    right = classes[scores.argmax(axis=1)] == truth
    places = {label: place for place, label in enumerate(classes.tolist())}
    at = np.array([places.get(label, -1) for label in truth.tolist()])
    probability = np.where(at >= 0, scores[np.arange(len(truth)), np.maximum(at, 0)], 0.0)
    return right, probability


def _shares(truth: NDArray[np.str_]) -> Floats:
    """Probabilities of a model that knows only the class shares: the best baseline without features."""
    labels, places, counts = np.unique(truth, return_inverse=True, return_counts=True)
    share = (counts + SMOOTHING) / (len(truth) + SMOOTHING * len(labels))
    return np.asarray(share[places], dtype=np.float64)
