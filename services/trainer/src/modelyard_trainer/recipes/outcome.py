"""Words, metrics and facts about a selection, for the run and for the manifest."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard_trainer.recipes.selection import Tried, value_of
from modelyard_trainer.worker.work import Work


@dataclass(frozen=True)
class Selection:
    """Candidates that were compared on the same folds, and the best of them.

    reference: metrics of the baseline on these folds. others: candidates of another comparison: estimators on the usual
    window before windows were compared, or windows that all failed.
    """

    best: Tried
    tried: Sequence[Tried]
    reference: dict[str, float]
    others: Sequence[Tried] = ()

    @property
    def compared(self) -> Sequence[Tried]:
        """All candidates, each once; what was compared with the best comes first."""
        labels = {one.label for one in self.tried}
        return [*self.tried, *(one for one in self.others if one.label not in labels)]


def summary_of(selection: Selection, work: Work) -> str:
    """One sentence: the winner, its rivals on the same rows, what was left out or failed, and why."""
    metric, best = work.parameters.metric, selection.best
    figure, baseline = best.figures[metric], selection.reference[metric]
    parts = [f"{_label(work, best)}: validation {metric} {figure:.4f}, baseline {baseline:.4f}"]
    rivals = [one for one in selection.tried if one is not best and not one.error]
    if rivals:
        parts.append(f"others: {', '.join(f'{_label(work, one)} {one.figures[metric]:.4f}' for one in rivals)}")
    parts += [f"{_label(work, one)} failed: {one.error}" for one in selection.compared if one.error]
    parts += [f"window {name} left out: {reason}" for name, reason in work.windows.left_out.items()]
    if not _beats(selection, metric):
        parts.append("it does not beat the baseline (majority class or median)")
    return "; ".join(parts)


def metrics_of(selection: Selection, work: Work) -> dict[str, float]:
    """Metrics of the run; `candidate_` is followed by the estimator and, if windows were compared, the window."""
    metric, best = work.parameters.metric, selection.best
    found = {f"validation_{name}": value for name, value in best.figures.items()}
    found |= {f"candidate_{_key(work, one)}": one.figures[metric] for one in selection.compared if not one.error}
    found |= {f"baseline_{name}": value for name, value in selection.reference.items()}
    found |= {"beats_baseline": float(_beats(selection, metric))}
    found |= {"row_ms": best.row_ms, "fit_s": sum(one.fit_s for one in selection.compared)}
    return {name: round(value, 6) for name, value in found.items()}


def facts_of(selection: Selection, work: Work) -> dict[str, str]:
    """Facts for the lineage: the winner, and why candidates and windows are not among those compared."""
    failed = {f"failed_{_key(work, one)}": one.error for one in selection.compared if one.error}
    left_out = {f"left_out_{name}": reason for name, reason in work.windows.left_out.items()}
    return {"winner": selection.best.name, **failed, **left_out}


def _several(work: Work) -> bool:
    return work.windows.tried != (work.windows.usual,)


def _label(work: Work, one: Tried) -> str:
    return one.label if _several(work) else one.name


def _key(work: Work, one: Tried) -> str:
    return f"{one.name}_{one.window.name}" if one.window and _several(work) else one.name


def _beats(selection: Selection, metric: str) -> bool:
    reference = selection.reference
    return value_of(metric, selection.best.figures, reference) > value_of(metric, reference, reference)
