"""The run of a recipe with candidates: compare them in parallel in Ray, choose, fit the winner on all usable rows.

The estimators are compared on the usual training window first. If the run has others, the best estimators are then
compared on each of them, on the same newest rows.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.split import Fold
from modelyard_trainer.recipes.outcome import Selection, facts_of, metrics_of, summary_of
from modelyard_trainer.recipes.selection import (
    Candidate,
    Fit,
    Tried,
    attempt,
    baseline,
    choose,
    fit_and_save,
    ranked,
    usable_folds,
)
from modelyard_trainer.worker.fitters import Pool
from modelyard_trainer.worker.ray_session import ray_session
from modelyard_trainer.worker.work import Rows, Trained, Work

STARTED: Final = 0.15
COMPARED: Final = 0.5
"""Share of the recipe's time after which the estimators are compared, if windows follow."""
CHOSEN: Final = 0.85
FINALISTS: Final = 2
"""Estimators that are compared on every window: with four windows and three folds, at most 24 fits."""


def run_candidates(work: Work, fit: Fit) -> Trained:
    """Train with a recipe's `fit`. BadRequest if the rows have one class only, or if every candidate fails."""
    used = work.rows.part(0, work.split.used)
    folds = usable_folds(used, work.split.folds, work.signature, work.split.first)
    if not folds:
        raise BadRequest(
            "dataset: the rows to learn from have one class only; give more rows, in the order of time", field="dataset"
        )
    work.report(0.0, "starting Ray")
    with ray_session(work.folder.parent, work.ray_cpus) as ray:
        pool = Pool(ray, work.folder.parent)
        trials = Trials(work, fit, pool, used, pool.put(used))
        selection = trials.select(folds)
        best = selection.best
        candidate = Candidate(best.name, best.window or work.windows.usual)
        all_rows = work.rows if work.learn_holdout else None
        learned = len(candidate.rows(work.rows, work.split.rows if work.learn_holdout else work.split.used))
        work.report(CHOSEN, f"{best.label} wins; fitting it on {learned} rows")
        flavour, files, outputs = pool.one(
            fit_and_save, fit, candidate, work.parameters, trials.rows, work.holdout, work.signature, all_rows
        )
    return Trained(
        flavour=flavour,
        fitted=files,
        holdout_outputs=outputs,
        summary=summary_of(selection, work),
        metrics=metrics_of(selection, work),
        facts=facts_of(selection, work),
        learned_holdout=work.learn_holdout,
        window=candidate.window,
    )


class Calls(Protocol):
    """What a comparison needs of worker.fitters.Pool."""

    def each(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Trials:
    """Comparisons of candidates. used: all rows before the held-out ones; rows: Ray's reference of them."""

    work: Work
    fit: Fit
    pool: Calls
    used: Rows
    rows: Any

    def select(self, folds: Sequence[Fold]) -> Selection:
        """Compare the estimators on the usual window, then the best of them on every window."""
        work, usual = self.work, self.work.windows.usual
        several = work.windows.tried != (usual,)
        until = COMPARED if several else CHOSEN
        work.report(STARTED, f"trying {', '.join(work.parameters.candidates)}")
        reference = self._reference(folds)
        found = self._try([Candidate(name, usual) for name in work.parameters.candidates], folds, STARTED, until)
        if all(one.error for one in found):
            reasons = "; ".join(f"{one.name}: {one.error}" for one in found)
            raise BadRequest(f"recipe: every candidate failed: {reasons}", field="recipe")
        alone = Selection(choose(found, work.parameters, reference), found, reference)
        return self._select_window(alone, folds) if several else alone

    def _select_window(self, alone: Selection, folds: Sequence[Fold]) -> Selection:
        work = self.work
        newest = self._newest_folds(folds)
        reference = self._reference(newest)
        finalists = [one.name for one in ranked(alone.tried, work.parameters, alone.reference)[:FINALISTS]]
        known = [one for one in alone.tried if one.name in finalists and newest == folds]
        known = [one for one in known if one.window in work.windows.tried]
        deadline = time.time() + work.parameters.window_time_s
        calls = [
            Candidate(name, window, deadline)
            for window in work.windows.tried
            for name in finalists
            if (name, window) not in {(one.name, one.window) for one in known}
        ]
        names = ", ".join(window.name for window in work.windows.tried)
        work.report(COMPARED, f"trying the windows {names} with {' and '.join(finalists)}")
        found = [*known, *self._try(calls, newest, COMPARED, CHOSEN)]
        if all(one.error for one in found):
            return Selection(alone.best, alone.tried, alone.reference, tuple(found))
        return Selection(choose(found, work.parameters, reference), found, reference, tuple(alone.tried))

    def _newest_folds(self, folds: Sequence[Fold]) -> Sequence[Fold]:
        """Folds of the rows after the change; the folds before if no change is known, or if they have one class."""
        change, split = self.work.windows.change, self.work.split
        if change is None or change <= split.first:
            return folds
        found = usable_folds(self.used, split.folds_from(change), self.work.signature)
        return found or folds

    def _reference(self, folds: Sequence[Fold]) -> dict[str, float]:
        return baseline(self.used, folds, self.work.signature, self.work.split.first)

    def _try(self, candidates: list[Candidate], folds: Sequence[Fold], since: float, until: float) -> list[Tried]:
        """Attempt candidates in parallel; reports each of them, as progress from `since` to `until`."""
        work, metric, tried = self.work, self.work.parameters.metric, list[Tried]()
        calls = [(self.fit, one, work.parameters, self.rows, folds, work.signature) for one in candidates]
        for one in self.pool.each(attempt, calls):
            tried.append(one)
            result = f"failed: {one.error}" if one.error else f"{metric} {one.figures[metric]:.4f} in {one.fit_s:.1f} s"
            work.report(since + (until - since) * len(tried) / len(calls), f"{one.label}: {result}")
        return sorted(tried, key=lambda one: one.label)
