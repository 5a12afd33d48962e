"""The values of the timeline list: one summary per correlation id, made from its newest events."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from modelyard_contracts import Verdict, VersionStage
from modelyard_monitor.domain.reports import Report


class Outcome(StrEnum):
    """How far a timeline has come."""

    RECORDED = "recorded"
    """Nothing followed, such as an alarm during a cool-down."""
    TRAINING = "training"
    REFUSED = "refused"
    """By policy: cool-down or budget."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    EVALUATING = "evaluating"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"
    CONTINUE_TUNING = "continue_tuning"
    WAITING = "waiting"
    """For an approval or a rollout."""
    ROLLING_OUT = "rolling_out"
    PROMOTED = "promoted"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"


class TimelineSummary(Report):
    """All events of one correlation id in one row."""

    correlation_id: str
    model: str
    """Model of the first event."""
    started_at: datetime
    """Moment of the first event."""
    last_at: datetime
    """Moment of the newest event."""
    events: int
    first_event_id: str
    first_topic: str
    first_summary: str
    """Reason of the first event."""
    run_id: str | None
    run_state: str | None
    version: int | None
    """The version that the run registered, or that the rollout brings to traffic."""
    evaluation_id: str | None
    verdict: str | None
    rollout_id: str | None
    rollout_state: str | None
    outcome: Outcome


class TimelineList(Report):
    """Timelines, newest first."""

    items: tuple[TimelineSummary, ...]
    next_after: str | None
    """Cursor of the next page; None on the last one."""


@dataclass(frozen=True)
class TimelineScope:
    """Which timelines to read."""

    model: str = ""
    """Empty for all models."""
    since: datetime | None = None
    """Only timelines that began at or after this moment."""
    started: bool = False
    """Only timelines that led to a run that began, to an evaluation or to a rollout."""
    before: tuple[datetime, str] | None = None
    """Start and correlation id: only older ones."""
    workspaces: Collection[str] | None = None
    """None for all."""


RUN_OUTCOMES: Final[Mapping[str, Outcome]] = {
    "failed": Outcome.FAILED,
    "cancelled": Outcome.CANCELLED,
    "refused": Outcome.REFUSED,
    "succeeded": Outcome.EVALUATING,
}
ROLLOUT_OUTCOMES: Final[Mapping[str, Outcome]] = {
    "promoted": Outcome.PROMOTED,
    "aborted": Outcome.ABORTED,
    "failed": Outcome.FAILED,
    "rolled_back": Outcome.ROLLED_BACK,
}
VERDICT_OUTCOMES: Final[Mapping[str, Outcome]] = {
    Verdict.DEPLOY: Outcome.WAITING,
    Verdict.REJECT: Outcome.REJECTED,
    Verdict.CONTINUE_TUNING: Outcome.CONTINUE_TUNING,
    Verdict.INCONCLUSIVE: Outcome.INCONCLUSIVE,
}


STEPS: Final = ("run", "evaluation", "rollout", "moved")


def summary_of(row: Mapping[str, Any]) -> TimelineSummary:
    """Summarise one timeline.

    row: correlation_id, started_at, last_at, events, first_event_id, first_topic, model, and the summary of an event
    as JSON, or '' without such an event: `first`, and the newest `run`, `evaluation`, `rollout` and `moved` (the
    newest change of a version's stage).
    """
    run, evaluation, rollout, moved = (_read(row[step]) for step in STEPS)
    known = {name: value for name, value in row.items() if name not in (*STEPS, "first")}
    return TimelineSummary(
        **known,
        first_summary=_read(row["first"]).get("reason") or "",
        run_id=run.get("run_id"),
        run_state=run.get("state"),
        version=rollout.get("to_version") or run.get("version") or evaluation.get("challenger_version"),
        evaluation_id=evaluation.get("evaluation_id"),
        verdict=evaluation.get("verdict"),
        rollout_id=rollout.get("rollout_id"),
        rollout_state=rollout.get("state"),
        outcome=outcome_of(run.get("state"), evaluation.get("verdict"), moved.get("stage"), rollout.get("state")),
    )


def outcome_of(run_state: str | None, verdict: str | None, stage: str | None, rollout_state: str | None) -> Outcome:
    """Return the outcome from the latest step that happened. stage: the newest stage of a version."""
    if rollout_state:
        return ROLLOUT_OUTCOMES.get(rollout_state, Outcome.ROLLING_OUT)
    if stage == VersionStage.REJECTED:
        return Outcome.REJECTED
    if verdict:
        return VERDICT_OUTCOMES.get(verdict, Outcome.INCONCLUSIVE)
    if run_state:
        return RUN_OUTCOMES.get(run_state, Outcome.TRAINING)
    return Outcome.RECORDED


def _read(summary: str) -> Mapping[str, Any]:
    return json.loads(summary) if summary else {}
