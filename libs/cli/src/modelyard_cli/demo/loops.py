"""The timelines of the loops, read from the events that every service published."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from modelyard_cli.context import Platform
from modelyard_cli.verbs.lists import summary

EVENTS_SQL: Final = """
SELECT topic, type, event_id, occurred_at, recorded_at, correlation_id, cause_id, payload
FROM events WHERE model = {model:String} AND recorded_at >= {since:DateTime64(6, 'UTC')}
ORDER BY occurred_at, recorded_at
"""
ALWAYS: Final = datetime(2000, 1, 1, tzinfo=UTC)

Event = dict[str, Any]


def read_events(platform: Platform, model: str, since: datetime = ALWAYS) -> list[Event]:
    """Every event of a model that was stored since, as analysts see them, in order."""
    events = platform.query(EVENTS_SQL, {"model": model, "since": since})
    return [
        {
            **event,
            "payload": json.loads(event["payload"]),
            # The client leaves out the zone of a column that is in UTC.
            "occurred_at": event["occurred_at"].replace(tzinfo=UTC),
            "recorded_at": event["recorded_at"].replace(tzinfo=UTC),
        }
        for event in events
    ]


def by_timeline(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Events by the timeline they belong to, timelines in the order they began."""
    timelines: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        timelines[str(event["correlation_id"])].append(event)
    return dict(timelines)


def loops(events: Iterable[Event]) -> list[dict[str, Any]]:
    """One entry per timeline that an alarm began and that led to a training run."""
    found = (_loop(correlation_id, timeline) for correlation_id, timeline in by_timeline(events).items())
    return [loop for loop in found if loop is not None]


def closed(loop: Mapping[str, Any]) -> bool:
    """Whether a loop came to its end: promoted, or refused with a reason."""
    refused = loop["verdict"] in ("reject", "continue_tuning", "inconclusive")
    return refused or loop["rollout"] in ("promoted", "aborted", "rolled_back", "failed")


def _loop(correlation_id: str, timeline: list[Event]) -> dict[str, Any] | None:
    alarm = _first(timeline, "monitoring.drift.detected.v1")
    runs = [event for event in timeline if event["topic"] == "training.run.changed.v1"]
    if alarm is None or not runs or runs[-1]["payload"]["state"] == "refused":
        return None
    verdict = _first(timeline, "evaluation.run.finished.v1")
    rollout = _last(timeline, "deployment.rollout.changed.v1")
    promoted = rollout is not None and rollout["payload"]["state"] == "promoted"
    end = rollout or verdict or runs[-1]
    return {
        "correlation_id": correlation_id,
        "cause": f"{alarm['payload']['kind']}: {alarm['payload']['reason']}",
        "alarm_at": _iso(alarm["occurred_at"]),
        "run_id": str(runs[-1]["payload"]["run_id"]),
        "run_state": runs[-1]["payload"]["state"],
        "run_seconds": _between(runs[0], runs[-1]),
        "training_cost_usd": runs[-1]["payload"].get("cost_usd", 0.0),
        "challenger": runs[-1]["payload"]["version"],
        "verdict": verdict and verdict["payload"]["verdict"],
        "reasons": list(verdict["payload"]["reasons"]) if verdict else [],
        "rollout": rollout and rollout["payload"]["state"],
        "rollout_version": rollout and rollout["payload"]["to_version"],
        "promoted_at": _iso(rollout["occurred_at"]) if promoted and rollout else None,
        "seconds": _between(alarm, end),
        "events": [
            {"at": _iso(event["occurred_at"]), "type": event["type"], "what": summary(event)} for event in timeline
        ],
    }


def _first(timeline: list[Event], topic: str) -> Event | None:
    return next((event for event in timeline if event["topic"] == topic), None)


def _last(timeline: list[Event], topic: str) -> Event | None:
    return _first(timeline[::-1], topic)


def _between(begin: Event, end: Event) -> float:
    return round(float((end["occurred_at"] - begin["occurred_at"]).total_seconds()), 2)


def _iso(moment: datetime) -> str:
    return moment.isoformat()
