"""Looks at a comparison while labels arrive: when to look again, and when an undecided one ends."""

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, Final

from modelyard_contracts import Verdict
from modelyard_evaluator.domain.evaluation import Evaluation, RowSource, Stage
from modelyard_evaluator.domain.live_share import at_the_last_look, with_live_share
from modelyard_evaluator.domain.standards import joins_a_vote
from modelyard_evaluator.domain.verdict import Comparison, Judgement

GROWTH: Final = 0.1
"""Least growth of the rows between two looks, so that the cost of all looks stays a multiple of that of the last."""
MIN_PAUSE_S: Final = 2.0
MAX_PAUSE_S: Final = 60.0
"""Pauses between two counts of rows while a comparison is open: a tenth of the time since the last look."""


def is_sequential(evaluation: Evaluation) -> bool:
    """Whether the comparison may be looked at again: labels arrive, and the gate policy allows it."""
    policy, has_rows = evaluation.policy, evaluation.source is RowSource.LABELS
    return has_rows and evaluation.champion is not None and policy.max_open_s > 0 and not joins_a_vote(policy)


def deadline(evaluation: Evaluation) -> datetime | None:
    """Moment of the last look; None before the first one. Another champion does not move it."""
    if evaluation.opened_at is None:
        return None
    return evaluation.opened_at + timedelta(seconds=evaluation.policy.max_open_s)


def next_look(evaluation: Evaluation) -> int:
    """Labelled rows from which on the comparison is looked at again."""
    counted = evaluation.counted_rows
    return counted + max(evaluation.policy.look_every_rows, int(counted * GROWTH))


def pause_s(evaluation: Evaluation, now: datetime) -> float:
    """Seconds until the next count of rows."""
    open_s = (now - evaluation.changed_at).total_seconds()
    return min(max(open_s / 10, MIN_PAUSE_S), MAX_PAUSE_S)


def ends(evaluation: Evaluation, judgement: Judgement, rows: int, now: datetime) -> bool:
    """Whether this look is the last one: it decides, or a limit of the gate policy is reached."""
    if judgement.verdict is not Verdict.CONTINUE_TUNING or not is_sequential(evaluation):
        return True
    until = deadline(evaluation)
    return rows >= evaluation.policy.max_open_rows or (until is not None and now >= until)


def undecided(evaluation: Evaluation, judgement: Judgement, comparison: Comparison) -> Judgement:
    """The judgement of the last look if no look has decided; one that decides is returned as it is."""
    if judgement.verdict is not Verdict.CONTINUE_TUNING or not is_sequential(evaluation):
        return judgement
    policy, looks, rows = evaluation.policy, evaluation.looks + 1, comparison.rows
    reached = (
        f"{policy.max_open_rows} rows" if rows >= policy.max_open_rows else f"the limit of {policy.max_open_s:g} s"
    )
    reason = f"No decision until {reached}, after {looks} look{'s' if looks > 1 else ''} at the rows."
    if evaluation.live:
        judgement = at_the_last_look(evaluation, comparison)
        return Judgement(judgement.verdict, (reason, *judgement.reasons))
    return Judgement(Verdict.INCONCLUSIVE, (reason, *judgement.reasons))


def opened_later(one: Evaluation, other: Evaluation) -> bool:
    """Whether a comparison is open, and newer than another one that is."""
    if not one.looks or one.opened_at is None or other.opened_at is None:
        return False
    return (one.opened_at, one.id) > (other.opened_at, other.id)


def too_many_open(evaluation: Evaluation, newer: int) -> Judgement | None:
    """The judgement of the oldest open comparison of a model that has too many; None while it may stay open."""
    allowed = evaluation.policy.max_open_comparisons
    if newer < allowed:
        return None
    reason = f"No decision yet: it makes way for newer comparisons of the model ({allowed} may be open)."
    return Judgement(Verdict.INCONCLUSIVE, (reason, *(evaluation.current or {"reasons": ()})["reasons"]))


def stay_open(
    evaluation: Evaluation, judgement: Judgement, comparison: Comparison, window: dict[str, Any], now: datetime
) -> Evaluation:
    """Wait for further labels. The first row is fixed from the first look on: later looks add rows to the same ones."""
    opened = replace(
        evaluation,
        stage=Stage.WAITING,
        looks=evaluation.looks + 1,
        opened_at=evaluation.opened_at or now,
        since=_fixed_start(evaluation, window),
        current={
            "comparison": asdict(comparison),
            "reasons": list(judgement.reasons),
            "window": window,
            "looked_at": now.isoformat(),
        },
        changed_at=now,
    )
    return replace(with_live_share(opened, comparison, now), note=_note(opened, judgement))


def _fixed_start(evaluation: Evaluation, window: dict[str, Any]) -> datetime | None:
    """Moment just before the oldest row of the first look; rows after `since` that it left out stay out."""
    if evaluation.looks or window["rows"] < max(evaluation.policy.recent_rows, evaluation.policy.min_rows):
        return evaluation.since
    return datetime.fromisoformat(window["first_at"]) - timedelta(microseconds=1)


def _note(evaluation: Evaluation, judgement: Judgement) -> str:
    until = deadline(evaluation)
    return (
        f"look {evaluation.looks} has not decided: {judgement.reasons[0]} The next look is at "
        f"{next_look(evaluation)} labelled rows, the last one at {until:%Y-%m-%d %H:%M:%S} UTC."
    )
