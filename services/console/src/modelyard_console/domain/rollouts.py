"""A rollout over time, what it does next, and its guardrails, as values to show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from modelyard import GuardrailReading, RecordedEvent, RolloutRun
from modelyard_console.domain.charts import Chart, Line, Mark
from modelyard_console.domain.formats import instant, number, seconds, words
from modelyard_contracts import RolloutState

CORNER: Final = timedelta(milliseconds=1)
"""Before a change, so that the line is a step and not a slope."""
WAITING: Final = {
    "begin": "It waits until the rollout before it has ended.",
    "replicas": "It waits until a replica of the new version is ready.",
    "routers": "It waits until the routers have applied this step.",
    "finish": "All traffic is published; it ends when the routers have applied it.",
    "abort": "It is being aborted; the version before gets all traffic back.",
}


@dataclass(frozen=True)
class Moment:
    """One recorded change of a rollout."""

    at: datetime
    state: str
    step: int
    weight_percent: float
    reason: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    adaptive: bool = False
    """Whether the version joins a vote; its share is its weight there."""


@dataclass(frozen=True)
class StepRow:
    """One step of the plan. state: `done`, `now`, `ahead`, or how it ended there."""

    number: int
    percent: float
    state: str
    began_at: datetime | None = None
    lasted_s: float | None = None
    predictions: int | None = None
    """Of the new version during the step."""
    reason: str = ""


@dataclass(frozen=True)
class Forecast:
    """What happens next. sentence: for people; at: when, at the present traffic; None when that is not known."""

    sentence: str
    in_s: float | None = None
    at: datetime | None = None
    per_second: float | None = None
    """Predictions of the new version now."""
    problem: str = ""
    """What keeps it from going on."""


@dataclass(frozen=True)
class GuardrailRow:
    """A guardrail with the scale of its interval."""

    reading: GuardrailReading
    share: bool
    """Whether the values are shares, shown in percent."""
    scale: tuple[float, float]


def moments_of(events: Iterable[RecordedEvent], rollout_id: str) -> tuple[Moment, ...]:
    """The recorded changes of one rollout, oldest first, from the events of its correlation id."""
    found = []
    for event in events:
        body, at = event.payload, instant(event.occurred_at)
        if str(body.get("rollout_id")) == rollout_id and "weight_percent" in body and at is not None:
            found.append((int(body.get("revision") or 0), _moment(at, body)))
    return tuple(moment for _, moment in sorted(found, key=lambda one: one[0]))


def _moment(at: datetime, body: dict[str, Any]) -> Moment:
    return Moment(
        at=at,
        state=str(body.get("state", "")),
        step=int(body.get("step") or 0),
        weight_percent=float(body["weight_percent"]),
        reason=str(body.get("reason") or ""),
        evidence=dict(body.get("evidence") or {}),
        adaptive=bool(body.get("adaptive")),
    )


def weight_chart(rollout: RolloutRun, moments: Sequence[Moment], now: datetime) -> Chart:
    """Share of the traffic over time, in steps, with marks where the state changed."""
    x: list[datetime | float] = []
    new: list[float | None] = []
    for place, moment in enumerate(moments):
        if place:
            x.append(moment.at - CORNER)
            new.append(moments[place - 1].weight_percent)
        x.append(moment.at)
        new.append(moment.weight_percent)
    if moments and not rollout.ended:
        x.append(max(now, moments[-1].at + CORNER))
        new.append(rollout.weight_percent)
    lines = [Line(f"v{rollout.to_version}", new)]
    if rollout.from_version is not None and not any(one.adaptive for one in moments):
        lines.append(Line(f"v{rollout.from_version}", [None if one is None else 100 - one for one in new], dashed=True))
    return Chart("Share of the traffic", x, lines, [Mark(one.at, _mark(one)) for one in _turns(moments)], unit="%")


def _turns(moments: Sequence[Moment]) -> list[Moment]:
    """The moments at which the state or the step changed."""
    return [
        one
        for place, one in enumerate(moments)
        if not place or (moments[place - 1].state, moments[place - 1].step) != (one.state, one.step)
    ]


def _mark(moment: Moment) -> str:
    return f"step {moment.step}" if moment.state == RolloutState.SHIFTING and moment.step else words(moment.state)


def step_rows(rollout: RolloutRun, moments: Sequence[Moment], now: datetime) -> tuple[StepRow, ...]:
    """The plan of a rollout with what happened at each step so far."""
    return tuple(
        _step(rollout, moments, step, percent, now) for step, percent in enumerate(rollout.steps_percent, start=1)
    )


def _step(rollout: RolloutRun, moments: Sequence[Moment], step: int, percent: float, now: datetime) -> StepRow:
    here = [one for one in moments if one.step == step and one.state in (RolloutState.SHIFTING, RolloutState.HOLDING)]
    after = next(
        (one for one in moments if here and one.at >= here[-1].at and one not in here and one.step >= step), None
    )
    if not here:
        passed = rollout.step > step or (rollout.state is RolloutState.PROMOTED and rollout.step >= step)
        return StepRow(step, percent, "done" if passed else "left out" if rollout.ended else "ahead")
    leaving = after.evidence if after else rollout.evidence
    state = _state(step, here[-1], after)
    until = after.at if after else now
    return StepRow(
        number=step,
        percent=here[-1].weight_percent if here[-1].adaptive else percent,
        state=state,
        began_at=here[0].at,
        lasted_s=(until - here[0].at).total_seconds(),
        predictions=_count(leaving.get("step_answers")),
        reason=after.reason if after else rollout.reason,
    )


def _state(step: int, here: Moment, after: Moment | None) -> str:
    if after is None:
        return "holding" if here.state == RolloutState.HOLDING else "now"
    if after.step == step and after.state in (RolloutState.ABORTED, RolloutState.FAILED):
        return after.state
    return "done"


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def forecast(rollout: RolloutRun, now: datetime) -> Forecast | None:
    """What an open rollout does next, and when at the present traffic; None when it has ended."""
    following = rollout.next
    if rollout.ended or following is None or following.kind == "nothing":
        return None
    if following.kind in WAITING:
        return Forecast(WAITING[following.kind])
    target = "all traffic" if following.kind == "promote" else f"{number(following.to_percent, 1)} %"
    goes = f"Step {following.step} of {following.steps}: from {number(following.from_percent, 1)} % to {target}"
    if following.held:
        return Forecast(f"{goes} when a person resumes or advances it.", problem=rollout.held_reason)
    rate = _rate(rollout)
    wait_s = _wait_s(following.predictions_left, following.seconds_left, rate)
    sentence = f"{goes} {_conditions(following.predictions_left, following.seconds_left)}."
    problem = _blocked(following.blocked_by, following.predictions_left, rate)
    at = None if wait_s is None or problem else now + timedelta(seconds=wait_s)
    return Forecast(sentence, None if problem else wait_s, at, rate, problem)


def _conditions(predictions: int, wait_s: float) -> str:
    waits = []
    if predictions:
        waits.append(f"{predictions:,} more predictions of the new version")
    if wait_s > 0:
        waits.append(seconds(wait_s))
    return f"after {' and '.join(waits)}" if waits else "at the next check, if no guardrail is worse"


def _rate(rollout: RolloutRun) -> float | None:
    """Predictions of the new version per second at this step; None before the first ones were counted."""
    count, age_s = rollout.evidence.get("step_answers"), rollout.evidence.get("step_age_s")
    if not isinstance(count, int | float) or not isinstance(age_s, int | float) or age_s <= 0:
        return None
    return count / age_s


def _wait_s(predictions: int, wait_s: float, rate: float | None) -> float | None:
    if not predictions:
        return wait_s
    return max(wait_s, predictions / rate) if rate else None


def _blocked(guardrails: Sequence[str], predictions: int, rate: float | None) -> str:
    if guardrails:
        return f"Worse than the stable version, but possibly by chance: {', '.join(map(words, guardrails))}."
    if predictions and rate == 0:
        return "No request reaches the new version: it cannot collect the predictions that the step needs."
    return ""


def guardrail_rows(readings: Sequence[GuardrailReading]) -> tuple[GuardrailRow, ...]:
    """Guardrails with a scale that shows zero, the interval and the margin."""
    rows = []
    for one in readings:
        ends = [0.0, one.margin, *(value for value in (one.low, one.high, one.difference) if value is not None)]
        room = 0.1 * (max(ends) - min(ends)) or 0.01
        rows.append(GuardrailRow(one, one.name.endswith("rate"), (min(ends) - room, max(ends) + room)))
    return tuple(rows)


def lasted_s(rollout: RolloutRun, now: datetime) -> float | None:
    """How long a rollout took, or has taken so far."""
    if rollout.created_at is None:
        return None
    until = rollout.changed_at if rollout.ended and rollout.changed_at else now
    return (until - rollout.created_at).total_seconds()
