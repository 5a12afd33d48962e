"""The run of a recipe with candidates: try them in parallel in Ray, choose, fit the winner on all usable rows."""

from typing import Any

from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.recipes.selection import (
    Fit,
    Tried,
    attempt,
    baseline,
    choose,
    fit_and_save,
    usable_folds,
    value_of,
)
from modelyard_trainer.worker.fitters import Pool
from modelyard_trainer.worker.ray_session import ray_session
from modelyard_trainer.worker.work import Trained, Work

STARTED = 0.15
CHOSEN = 0.85


def run_candidates(work: Work, fit: Fit) -> Trained:
    """Train with a recipe's `fit`. BadRequest if the rows have one class only, or if every candidate fails."""
    parameters, used = work.parameters, work.used
    folds = usable_folds(used, work.split.folds, work.signature)
    if not folds:
        raise BadRequest(
            "dataset: the rows to learn from have one class only; give more rows, in the order of time", field="dataset"
        )
    reference = baseline(used, folds, work.signature)
    work.report(0.0, "starting Ray")
    with ray_session(work.folder.parent, work.ray_cpus) as ray:
        work.report(STARTED, f"trying {', '.join(parameters.candidates)}")
        pool = Pool(ray, work.folder.parent)
        rows = pool.put(used)
        calls = [(fit, name, parameters, rows, folds, work.signature) for name in parameters.candidates]
        tried = _try_all(pool, calls, work)
        best = _best(tried, parameters, reference)
        all_rows = work.rows if work.learn_holdout else None
        work.report(CHOSEN, f"{best.name} wins; fitting it on {len(all_rows or used)} rows")
        flavour, files, outputs = pool.one(
            fit_and_save, fit, best.name, parameters, rows, work.holdout, work.signature, all_rows
        )
    return Trained(
        flavour=flavour,
        fitted=files,
        holdout_outputs=outputs,
        summary=_summary(best, tried, parameters, reference),
        metrics=_metrics(best, tried, parameters, reference),
        facts=_facts(best, tried),
        learned_holdout=work.learn_holdout,
    )


def _try_all(pool: Pool, calls: list[tuple[Any, ...]], work: Work) -> list[Tried]:
    metric, tried = work.parameters.metric, list[Tried]()
    for one in pool.each(attempt, calls):
        tried.append(one)
        result = f"failed: {one.error}" if one.error else f"{metric} {one.figures[metric]:.4f} in {one.fit_s:.1f} s"
        work.report(STARTED + (CHOSEN - STARTED) * len(tried) / len(calls), f"{one.name}: {result}")
    return sorted(tried, key=lambda one: one.name)


def _best(tried: list[Tried], parameters: Any, reference: dict[str, float]) -> Tried:
    if all(one.error for one in tried):
        reasons = "; ".join(f"{one.name}: {one.error}" for one in tried)
        raise BadRequest(f"recipe: every candidate failed: {reasons}", field="recipe")
    return choose(tried, parameters, reference)


def _beats(best: Tried, parameters: Any, reference: dict[str, float]) -> bool:
    metric = parameters.metric
    return value_of(metric, best.figures, reference) > value_of(metric, reference, reference)


def _summary(best: Tried, tried: list[Tried], parameters: Any, reference: dict[str, float]) -> str:
    metric = parameters.metric
    parts = [f"{best.name}: validation {metric} {best.figures[metric]:.4f}, baseline {reference[metric]:.4f}"]
    others = [one for one in tried if one is not best and not one.error]
    if others:
        parts.append(f"others: {', '.join(f'{one.name} {one.figures[metric]:.4f}' for one in others)}")
    parts += [f"{one.name} failed: {one.error}" for one in tried if one.error]
    if not _beats(best, parameters, reference):
        parts.append("it does not beat the baseline (majority class or median)")
    return "; ".join(parts)


def _metrics(best: Tried, tried: list[Tried], parameters: Any, reference: dict[str, float]) -> dict[str, float]:
    metric = parameters.metric
    found = {f"validation_{name}": value for name, value in best.figures.items()}
    found |= {f"candidate_{one.name}": one.figures[metric] for one in tried if not one.error}
    found |= {f"baseline_{name}": value for name, value in reference.items()}
    found |= {"beats_baseline": float(_beats(best, parameters, reference))}
    found |= {"row_ms": best.row_ms, "fit_s": sum(one.fit_s for one in tried)}
    return {name: round(value, 6) for name, value in found.items()}


def _facts(best: Tried, tried: list[Tried]) -> dict[str, str]:
    failed = {f"failed_{one.name}": one.error for one in tried if one.error}
    return {"winner": best.name, **failed}
