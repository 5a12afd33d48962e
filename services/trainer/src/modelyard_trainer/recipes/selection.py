"""Try candidates on time-ordered folds, choose one, and fit it on all usable rows."""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard_contracts.signature import Signature
from modelyard_flavours import Predictor, predictor_of, save_model
from modelyard_trainer.domain.split import Fold
from modelyard_trainer.domain.windows import Window
from modelyard_trainer.recipes.estimators import Fitted
from modelyard_trainer.worker.metrics import LOSSES, figures
from modelyard_trainer.worker.work import FloatArray, Inputs, Rows, SavedFiles

TIMED_ROWS: Final = 50
Fit = Callable[[str, Any, Rows, Signature], Fitted]


@dataclass(frozen=True)
class Candidate:
    """An estimator of the recipe and the training window that it learns from.

    window: None is all rows that it is given. not_after_s: time, in seconds since 1970, after which it is not begun.
    """

    estimator: str
    window: Window | None = None
    not_after_s: float = math.inf

    def rows(self, rows: Rows, stop: int) -> Rows:
        """The rows before `stop` that it learns from."""
        return rows.part(0, stop) if self.window is None else rows.within(self.window, stop)


@dataclass(frozen=True)
class Tried:
    """One candidate on the folds; a failed one has an `error` and no figures."""

    name: str
    """The estimator."""
    figures: dict[str, float] = field(default_factory=dict)
    """Metrics, averaged over the folds by their weights."""
    fit_s: float = 0.0
    row_ms: float = 0.0
    """Median time for one row, by the code that serves it."""
    error: str = ""
    window: Window | None = None

    @property
    def label(self) -> str:
        """Name of estimator and window, such as `boosting on all`; without a window, the estimator's."""
        return f"{self.name} on {self.window.name}" if self.window else self.name


def attempt(
    fit: Fit, candidate: Candidate, parameters: Any, rows: Rows, folds: Sequence[Fold], signature: Signature
) -> Tried:
    """Fit and judge one candidate on each fold. An error of the candidate is part of the result."""
    try:
        return _attempt(fit, candidate, parameters, rows, folds, signature)
    except Exception as error:  # libraries raise all kinds; the other candidates decide the run
        reason = f"{type(error).__name__}: {error}"[:300]
        return Tried(candidate.estimator, error=reason, window=candidate.window)


def _attempt(
    fit: Fit, candidate: Candidate, parameters: Any, rows: Rows, folds: Sequence[Fold], signature: Signature
) -> Tried:
    found: dict[str, float] = {}
    fit_s, row_ms = 0.0, 0.0
    for fold in folds:
        if time.time() > candidate.not_after_s:
            raise TimeoutError("the time for trying windows was over")
        known, began = candidate.rows(rows, fold.start), time.perf_counter()
        if signature.task.classifies and len(np.unique(known.targets)) < 2:
            raise ValueError(f"the {len(known)} rows to learn from have one class only")
        fitted = fit(candidate.estimator, parameters, known, signature)
        fit_s += time.perf_counter() - began
        predictor, judged = predictor_of(fitted.flavour, fitted.model), rows.part(fold.start, fold.stop)
        outputs = predictor.predict(judged.numeric, judged.categorical)
        if not np.isfinite(outputs).all():
            raise ValueError("it predicted a value that is not finite")
        for metric, value in figures(judged.targets, outputs).items():
            found[metric] = found.get(metric, 0.0) + fold.weight * value
        row_ms = _row_ms(predictor, judged)
    return Tried(candidate.estimator, found, fit_s, row_ms, window=candidate.window)


def baseline(rows: Rows, folds: Sequence[Fold], signature: Signature, first: int = 0) -> dict[str, float]:
    """Metrics of always answering the majority class, or the median value, of the rows [first, start) of each fold."""
    found: dict[str, float] = {}
    for fold in folds:
        known, judged = rows.targets[first : fold.start], rows.targets[fold.start : fold.stop]
        if signature.task.classifies:
            counts = np.bincount(known, minlength=len(signature.classes))
            outputs = np.tile(counts / counts.sum(), (len(judged), 1))
        else:
            outputs = np.full((len(judged), 1), np.median(known))
        for metric, value in figures(judged, outputs).items():
            found[metric] = found.get(metric, 0.0) + fold.weight * value
    return found


def usable_folds(rows: Rows, folds: Sequence[Fold], signature: Signature, first: int = 0) -> tuple[Fold, ...]:
    """Folds with at least two classes to fit on and, if there are such, to judge; their weights add up to 1.

    first: number of the first row to fit on.

    On a fold of one class always answering it is perfect, which says nothing about a candidate.
    """
    kept = list(folds)
    if signature.task.classifies:
        kept = [fold for fold in folds if len(np.unique(rows.targets[first : fold.start])) > 1]
        kept = [fold for fold in kept if len(np.unique(rows.targets[fold.start : fold.stop])) > 1] or kept
    total = sum(fold.weight for fold in kept)
    return tuple(Fold(fold.start, fold.stop, fold.weight / total) for fold in kept)


def value_of(metric: str, found: dict[str, float], reference: dict[str, float]) -> float:
    """A metric as a number that is better when greater: errors relative to the baseline's (1 is perfect, 0 equal)."""
    if metric == "log_loss":
        return -found[metric]
    if metric in LOSSES:
        return 1.0 - found[metric] / max(reference[metric], 1e-300)
    return found[metric]


def choose(tried: Sequence[Tried], parameters: Any, reference: dict[str, float]) -> Tried:
    """The candidate of the greatest value less its price of time; of equal ones the faster, then by name."""

    return ranked(tried, parameters, reference)[0]


def ranked(tried: Sequence[Tried], parameters: Any, reference: dict[str, float]) -> list[Tried]:
    """The candidates that did not fail, best first, as `choose` compares them."""

    def order(one: Tried) -> tuple[float, float, str]:
        value = value_of(parameters.metric, one.figures, reference) - parameters.latency_penalty_per_ms * one.row_ms
        return round(value, 9), -one.row_ms, one.label

    return sorted((one for one in tried if not one.error), key=order, reverse=True)


def fit_and_save(
    fit: Fit,
    winner: Candidate,
    parameters: Any,
    rows: Rows,
    holdout: Inputs,
    signature: Signature,
    all_rows: Rows | None = None,
) -> tuple[str, SavedFiles, FloatArray]:
    """Fit the winner where its libraries are loaded; returns flavour, files, and its outputs on held-out rows.

    all_rows: rows to fit it on once more after these outputs, with the held-out ones; None leaves these out.
    """
    fitted = fit(winner.estimator, parameters, winner.rows(rows, len(rows)), signature)
    outputs = predictor_of(fitted.flavour, fitted.model).predict(holdout.numeric, holdout.categorical)
    if all_rows is not None:
        fitted = fit(winner.estimator, parameters, winner.rows(all_rows, len(all_rows)), signature)
    with tempfile.TemporaryDirectory() as folder:
        entries = save_model(fitted.flavour, fitted.model, Path(folder))
        files = SavedFiles(entries, tuple((Path(folder) / entry.path).read_bytes() for entry in entries))
    return fitted.flavour, files, outputs


def _row_ms(predictor: Predictor, rows: Rows) -> float:
    times = []
    for row in range(min(TIMED_ROWS, len(rows))):
        began = time.perf_counter()
        predictor.predict(rows.numeric[row : row + 1], rows.categorical[row : row + 1])
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1_000
