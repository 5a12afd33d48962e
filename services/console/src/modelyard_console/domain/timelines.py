"""Events of one correlation id as people read them: steps in order, and the phases from alarm to end."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from modelyard import RecordedEvent
from modelyard_console.domain import links
from modelyard_console.domain.formats import instant, percent, words

LONG_SHARE: Final = 0.25
"""A gap of at least this share of the whole time stands out."""
LONG_S: Final = 1.0
"""Shorter gaps never stand out."""
Body = Mapping[str, Any]
Described = tuple[str, str, str]
"""Title, state and link of an event; the last two may be empty."""


@dataclass(frozen=True)
class Step:
    """One event. link: to its object; empty without one."""

    at: datetime
    title: str
    text: str
    state: str
    link: str
    event_id: str
    cause_id: str | None
    model: str
    raw: str
    gap_s: float | None = None
    """Seconds since the step before; None for the first."""
    long: bool = False
    """Whether the gap stands out."""
    hidden: int = 0
    """Events before this step that were left out."""


@dataclass(frozen=True)
class Phase:
    """A part of the way from the first event to the last decision."""

    name: str
    start: datetime
    seconds: float
    share: float
    """Of the time of all phases."""


@dataclass(frozen=True)
class Timeline:
    """A whole timeline."""

    steps: Sequence[Step]
    phases: Sequence[Phase] = field(default_factory=tuple)
    hidden: int = 0
    """Events that were left out: progress, and routers that applied a route."""

    @property
    def seconds(self) -> float:
        return (self.steps[-1].at - self.steps[0].at).total_seconds() if self.steps else 0.0


def timeline_of(events: Sequence[RecordedEvent], *, everything: bool = False) -> Timeline:
    """Make the steps of a timeline, oldest first. everything: keep progress and acknowledgements of routers."""
    shown: list[Step] = []
    waiting = hidden = 0
    states: dict[str, str] = {}
    for event in events:
        if not everything and _repeats(event, states):
            waiting, hidden = waiting + 1, hidden + 1
            continue
        shown.append(_step(event, shown[-1].at if shown else None, waiting))
        waiting = 0
    total = (shown[-1].at - shown[0].at).total_seconds() if shown else 0.0
    return Timeline([_marked(step, total) for step in shown], phases_of(events), hidden)


def phases_of(events: Sequence[RecordedEvent]) -> list[Phase]:
    """Durations between the decisions of a loop. A decision that is missing, or came earlier, is passed over."""
    if not events:
        return []
    at = _moment(events[0])
    found: list[tuple[str, datetime, float]] = []
    for name, ends in PHASES:
        end = next((_moment(event) for event in events if _moment(event) >= at and ends(event)), None)
        if end is not None:
            found.append((name, at, (end - at).total_seconds()))
            at = end
    total = sum(seconds for _, _, seconds in found) or 1.0
    return [Phase(name, start, seconds, seconds / total) for name, start, seconds in found]


def _state(topic: str, *states: str) -> Any:
    return lambda event: event.topic == topic and event.payload.get("state") in states


RUN, ROLLOUT = "training.run.changed.v1", "deployment.rollout.changed.v1"
EVALUATED, CHANGED = "evaluation.run.finished.v1", "registry.resource.changed.v1"
ROUTE, APPLIED = "deployment.route.published.v1", "deployment.route.applied.v1"
DRIFT, ALERT = "monitoring.drift.detected.v1", "monitoring.alert.raised.v1"
PHASES: Final = (
    ("decision to train", _state(RUN, "requested", "refused")),
    ("snapshot of the data", _state(RUN, "training")),
    ("training", _state(RUN, "registering", "failed", "cancelled")),
    ("registration", _state(RUN, "succeeded")),
    ("evaluation", lambda event: event.topic == EVALUATED),
    ("approval", lambda event: event.topic == CHANGED and event.payload.get("stage") in ("approved", "rejected")),
    ("start of the replicas", _state(ROLLOUT, "shifting")),
    ("canary", _state(ROLLOUT, "promoted", "aborted", "failed", "rolled_back")),
)
"""Name of each phase, and the event that ends it."""


def _repeats(event: RecordedEvent, states: dict[str, str]) -> bool:
    """Whether an event only repeats a state. states: the last one by object; updated."""
    body = event.payload
    if event.topic == APPLIED:
        return bool(body.get("accepted", True))
    if event.topic not in (RUN, ROLLOUT):
        return False
    key = str(body.get("run_id") or body.get("rollout_id"))
    state = f"{body.get('state')} {body.get('weight_percent')}"
    seen, states[key] = states.get(key), state
    return seen == state


def _step(event: RecordedEvent, before: datetime | None, hidden: int) -> Step:
    body, at = event.payload, _moment(event)
    title, state, link = _described(event)
    return Step(
        at,
        title,
        _text(event.topic, body),
        state,
        link,
        event.event_id,
        event.cause_id,
        event.model,
        json.dumps(body, indent=2, ensure_ascii=False, default=str),
        None if before is None else max((at - before).total_seconds(), 0.0),
        hidden=hidden,
    )


def _marked(step: Step, total_s: float) -> Step:
    long = step.gap_s is not None and step.gap_s >= max(LONG_S, LONG_SHARE * total_s)
    return Step(**{**vars(step), "long": long})


def _described(event: RecordedEvent) -> Described:
    """Describe an event. An event of a newer release has its type as the title."""
    describe = DESCRIPTIONS.get(event.topic)
    if describe is None:
        return words(event.type or event.topic), "", ""
    found: Described = describe(event, event.payload)
    return found


def _drift(event: RecordedEvent, body: Body) -> Described:
    subject = body.get("subject") or words(body.get("kind", ""))
    return f"Drift: {subject} ({words(body.get('kind', ''))})", "bad", links.alarm(event.event_id)


def _alert(event: RecordedEvent, body: Body) -> Described:
    return f"Alert: {words(body.get('alert', ''))}", "bad", links.alarm(event.event_id)


def _requested_run(event: RecordedEvent, body: Body) -> Described:
    return f"Training requested by {body.get('requested_by', 'a person')}", "", ""


def _run(event: RecordedEvent, body: Body) -> Described:
    state = str(body.get("state", ""))
    colour = {"succeeded": "good", "failed": "bad", "refused": "warn", "cancelled": "warn"}.get(state, "")
    version = f", version {body['version']}" if body.get("version") else ""
    return f"Training run: {words(state)}{version}", colour, links.run(body.get("run_id"))


def _requested_evaluation(event: RecordedEvent, body: Body) -> Described:
    who = body.get("requested_by", "a person")
    version = body.get("challenger_version")
    return f"Evaluation of version {version} requested by {who}", "", _version(event, version)


def _evaluation(event: RecordedEvent, body: Body) -> Described:
    verdict = str(body.get("verdict", ""))
    against = f" against {body['champion_version']}" if body.get("champion_version") else ""
    colour = {"deploy": "good", "reject": "bad"}.get(verdict, "warn")
    title = f"Verdict {words(verdict)}: version {body.get('challenger_version')}{against}"
    return title, colour, links.evaluation(body.get("evaluation_id"))


def _changed(event: RecordedEvent, body: Body) -> Described:
    version, stage, change = body.get("version"), body.get("stage"), str(body.get("change", ""))
    link = _version(event, version) if body.get("kind", "model") == "model" else ""
    if change == "version_registered":
        return f"Version {version} registered", "", link
    if change == "version_moved":
        colour = {"approved": "good", "live": "good", "rejected": "bad"}.get(str(stage), "")
        return f"Version {version} is {stage}, by {body.get('actor', '')}", colour, link
    if change == "alias_moved":
        return f"Alias {body.get('alias')} points to version {version or 'none'}, by {body.get('actor', '')}", "", link
    if change == "policy_changed":
        return f"Policy {body.get('policy')} changed by {body.get('actor', '')}", "", links.policies(event.model)
    return f"{words(change)}: {body.get('name') or event.model}".capitalize(), "", link


def _version(event: RecordedEvent, version: Any) -> str:
    return links.version(event.model, version) if version else ""


def _requested_rollout(event: RecordedEvent, body: Body) -> Described:
    action = {"start": "Rollout", "roll_back": "Roll-back", "abort": "Abort"}.get(str(body.get("action")), "Rollout")
    version = f" of version {body['version']}" if body.get("version") else ""
    return f"{action}{version} requested by {body.get('requested_by', 'a person')}", "", ""


def _rollout(event: RecordedEvent, body: Body) -> Described:
    state, weight = str(body.get("state", "")), float(body.get("weight_percent") or 0.0)
    colour = {"promoted": "good", "aborted": "bad", "failed": "bad", "rolled_back": "warn", "holding": "warn"}
    share = f" at {percent(weight / 100)} of the traffic" if state in ("shifting", "holding") else ""
    title = f"Rollout {words(state)}: version {body.get('to_version')}{share}"
    return title, colour.get(state, ""), links.rollout(body.get("rollout_id"))


def _route(event: RecordedEvent, body: Body) -> Described:
    return (
        f"Route {body.get('route')} published, sequence {body.get('sequence')}",
        "",
        links.route(str(body.get("route"))),
    )


def _applied(event: RecordedEvent, body: Body) -> Described:
    done = "applied" if body.get("accepted", True) else "refused"
    title = f"Router {body.get('router_id')} {done} route {body.get('route')}, sequence {body.get('sequence')}"
    return title, "" if done == "applied" else "bad", links.route(str(body.get("route")))


DESCRIPTIONS: Final[Mapping[str, Any]] = {
    DRIFT: _drift,
    ALERT: _alert,
    "training.run.requested.v1": _requested_run,
    RUN: _run,
    "evaluation.run.requested.v1": _requested_evaluation,
    EVALUATED: _evaluation,
    CHANGED: _changed,
    "deployment.rollout.requested.v1": _requested_rollout,
    ROLLOUT: _rollout,
    ROUTE: _route,
    APPLIED: _applied,
}


def _text(topic: str, body: Body) -> str:
    """Why it happened."""
    if topic == EVALUATED:
        return " ".join(map(str, body.get("reasons") or ()))
    return str(body.get("reason") or "")


def _moment(event: RecordedEvent) -> datetime:
    found = instant(event.occurred_at)
    if found is None:
        raise ValueError(f"event {event.event_id} has no moment")
    return found
