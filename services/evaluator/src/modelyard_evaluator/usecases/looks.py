"""Wait for further labels of an open comparison, then look again."""

from dataclasses import replace
from datetime import timedelta

from modelyard_evaluator.domain.evaluation import Evaluation, RowSource
from modelyard_evaluator.domain.looks import deadline, next_look, opened_later, pause_s, too_many_open
from modelyard_evaluator.domain.outcome import conclude
from modelyard_evaluator.domain.ports import Deps
from modelyard_evaluator.domain.verdict import Judgement
from modelyard_evaluator.usecases.prepare import (
    decided_already,
    sides,
    signatures,
    since_of,
    start_scoring,
    with_standard,
)


def look_again(deps: Deps, evaluation: Evaluation) -> Evaluation:
    """Score again once there are enough further rows, or for the last time at the deadline.

    The gate policy and the alarm are read again: a confidence sequence holds whatever the standard. While the monitor
    is away the alarm of the last look counts.
    """
    challenger, champion = sides(deps, evaluation)
    if (judgement := decided_already(evaluation, challenger)) is not None:
        return conclude(evaluation, deps.clock(), judgement)
    if (judgement := _made_way(deps, evaluation)) is not None:
        return conclude(evaluation, deps.clock(), judgement)
    count = deps.labels.count(evaluation.model, since_of(evaluation), signatures(challenger, champion))
    evaluation = replace(evaluation, live=_holds_its_share(deps, evaluation))
    now, until = deps.clock(), deadline(evaluation)
    if count.usable < next_look(evaluation) and (until is None or now < until):
        return replace(evaluation, attempts=0, next_at=now + timedelta(seconds=pause_s(evaluation, now)))
    evaluation = with_standard(deps, evaluation, champion.version if champion else None)
    return start_scoring(evaluation, RowSource.LABELS, now, count.usable)


def _made_way(deps: Deps, evaluation: Evaluation) -> Judgement | None:
    """Inconclusive if as many newer comparisons of the model are open as the gate policy allows; None otherwise."""
    with deps.storage.read() as evaluations:
        newer = sum(opened_later(one, evaluation) for one in evaluations.unfinished(evaluation.model))
    return too_many_open(evaluation, newer)


def _holds_its_share(deps: Deps, evaluation: Evaluation) -> bool:
    """Whether the live share that was requested is being served: its rollout may have ended, or not begun yet."""
    requested = evaluation.live_share_at is not None
    return requested and deps.registry.in_canary(evaluation.model) == evaluation.challenger_version
