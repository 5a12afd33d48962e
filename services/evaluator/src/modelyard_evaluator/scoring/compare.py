"""Compare two measured sides with paired statistics.

Job: old and new (sides; old is None for the baseline), metric, confidence, seed, sequential (whether there may be
further looks at more rows), label_column, baseline. Result: the fields of domain.verdict.Comparison without costs and
names, `by_class`, `metrics` and `disagreements`.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from modelyard_evaluator.domain.statistics import classes, values
from modelyard_evaluator.domain.statistics.classes import Predictions
from modelyard_evaluator.domain.statistics.estimate import Floats
from modelyard_evaluator.scoring.disagreements import disagreements
from modelyard_evaluator.scoring.errors import RowsUnusable

SMOOTHING: Final = 1.0


def run(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Compare side `new` with side `old`, or with the baseline."""
    table = pq.ParquetFile(folder / "rows.parquet").read()
    labels = table[job["label_column"]].to_pylist()
    if job["metric"] in values.NAMES:
        found = _compare_values(folder, job, np.array(labels, dtype=np.float64))
    else:
        found = _compare_classes(folder, job, np.array(labels, dtype=np.str_))
        found["disagreements"] = disagreements(table, folder, job)
    return {"metric": job["metric"], "rows": len(labels), **found}


def _compare_classes(folder: Path, job: dict[str, Any], labels: NDArray[np.str_]) -> dict[str, Any]:
    names, truth = np.unique(labels, return_inverse=True)
    truth = truth.astype(np.int64)
    new = _predictions(folder / f"{job['new']}.npz", names, labels)
    if job["old"] is None:
        if len(names) < 2:
            raise RowsUnusable(
                f"all held-out rows have the class {str(names[0])[:40]!r}, so no version can be shown to be better "
                "than always answering one class; train on rows in the order of time, not of the target"
            )
        old = _majority(job["baseline"]["class"], names, truth)
    else:
        old = _predictions(folder / f"{job['old']}.npz", names, labels)
    estimate = classes.estimate(job["metric"], truth, old, new, **_options(job))
    return {
        **asdict(estimate),
        "metrics": {"champion": classes.all_metrics(truth, old), "challenger": classes.all_metrics(truth, new)},
        "by_class": {
            str(name): {
                "rows": int((truth == place).sum()),
                "champion_right": int((old.predicted[truth == place] == place).sum()),
                "challenger_right": int((new.predicted[truth == place] == place).sum()),
            }
            for place, name in enumerate(names)
        },
    }


def _compare_values(folder: Path, job: dict[str, Any], truth: Floats) -> dict[str, Any]:
    if job["metric"] == "r2" and np.ptp(truth) == 0:
        raise RowsUnusable("all labels are equal, so R2 is not defined; use the metric mae")
    new = _values(folder / f"{job['new']}.npz")
    if job["old"] is None:
        constant = job["baseline"]["median" if job["metric"] == "mae" else "mean"]
        old = np.full(len(truth), float(constant))
    else:
        old = _values(folder / f"{job['old']}.npz")
    estimate = values.estimate(job["metric"], truth, old, new, **_options(job))
    metrics = {"champion": values.all_metrics(truth, old), "challenger": values.all_metrics(truth, new)}
    return {**asdict(estimate), "metrics": metrics, "by_class": {}}


def _options(job: dict[str, Any]) -> dict[str, Any]:
    return {"confidence": job["confidence"], "seed": job["seed"], "sequential": job.get("sequential", False)}


def _predictions(file: Path, names: NDArray[np.str_], labels: NDArray[np.str_]) -> Predictions:
    """Predicted classes as places in `names`, and probabilities of the true class: 0 if the model does not know it."""
    with np.load(file, allow_pickle=False) as stored:
        scores, known = stored["scores"], stored["classes"].tolist()
    place_of = {name: place for place, name in enumerate(names.tolist())}
    predicted = np.array([place_of.get(name, -1) for name in known], dtype=np.int64)[scores.argmax(axis=1)]
    column_of = {name: column for column, name in enumerate(known)}
    columns = np.array([column_of.get(label, -1) for label in labels.tolist()])
    probability = np.where(columns >= 0, scores[np.arange(len(labels)), np.maximum(columns, 0)], 0.0)
    return Predictions(predicted, probability)


def _values(file: Path) -> Floats:
    with np.load(file, allow_pickle=False) as stored:
        return np.asarray(stored["scores"][:, 0], dtype=np.float64)


def _majority(name: str, names: NDArray[np.str_], truth: NDArray[np.int64]) -> Predictions:
    """A model that always predicts `name`, with the class shares of these rows as probabilities."""
    place = next((place for place, known in enumerate(names.tolist()) if known == name), -1)
    counts = np.bincount(truth, minlength=len(names))
    shares = np.asarray((counts + SMOOTHING) / (len(truth) + SMOOTHING * len(names)), dtype=np.float64)
    return Predictions(np.full(len(truth), place, dtype=np.int64), shares[truth])
