"""The values of the alert list: drifts and alerts in one shape."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Self

from modelyard_contracts import AlertRaised, DriftDetected
from modelyard_monitor.domain.reports import RecordedEvent, Report
from modelyard_monitor.domain.unseen_values import UnseenValue

ALARM_TOPICS: Final = (DriftDetected.TOPIC, AlertRaised.TOPIC)


class Alert(Report):
    """A drift or an alert."""

    event_id: str
    type: Literal["drift", "alert"]
    model: str
    version: int
    variant: str
    occurred_at: datetime
    correlation_id: str
    kind: str
    """`feature`, `score`, `classes` or `performance` of a drift; the alert's name otherwise."""
    subject: str
    """The feature, output or objective."""
    detector: str
    """Of a drift; empty for an alert."""
    severity: str
    observed: float
    threshold: float
    rows: int
    window_start: datetime
    window_end: datetime
    recommendation: str
    recommendation_reason: str
    summary: str
    """One sentence a person can act on."""
    evidence_sql: str
    """Recomputes `observed` from stored rows; empty when its rows can no longer be named."""

    @classmethod
    def of(cls, event: RecordedEvent) -> Self:
        """Read a stored event; fields of a newer release are ignored."""
        body = event.payload
        drift = event.topic == DriftDetected.TOPIC
        shared = {name: body[name] for name in ("variant", "subject", "severity", "threshold")}
        windows = {name: body[name] for name in ("window_start", "window_end")}
        return cls(
            event_id=event.event_id,
            type="drift" if drift else "alert",
            model=event.model,
            version=body["model_version"],
            occurred_at=event.occurred_at,
            correlation_id=event.correlation_id,
            **_of_drift(body) if drift else _of_alert(body),
            **shared,
            **windows,
            recommendation=body.get("recommendation", ""),
            recommendation_reason=body.get("recommendation_reason", ""),
            summary=body["reason"],
            evidence_sql=body.get("sql", ""),
        )


@dataclass(frozen=True)
class AlertScope:
    """Which drifts and alerts to read."""

    model: str = ""
    """Empty for all models."""
    since: datetime | None = None
    before: tuple[datetime, str] | None = None
    """Moment and event id: only older ones."""
    workspaces: Collection[str] | None = None
    """None for all."""
    kind: str = ""
    """`feature`, `score`, `classes`, `performance`, or the name of an alert; empty for all."""
    severity: str = ""


class EventRecord(RecordedEvent):
    """One control event. Counts, p-values and offsets of a drift or an alert are in its payload."""

    alert: Alert | None
    """The event as it is listed among the drifts and alerts; None for any other event."""
    unseen: tuple[UnseenValue, ...]
    """The most frequent values that the training data did not have, of an alarm to which they contributed; they are
    read from the stored predictions of its window."""

    @classmethod
    def of(cls, event: RecordedEvent, unseen: tuple[UnseenValue, ...]) -> Self:
        return cls(**dict(event), alert=Alert.of(event) if event.topic in ALARM_TOPICS else None, unseen=unseen)


class AlertList(Report):
    """Drifts and alerts, newest first."""

    items: tuple[Alert, ...]
    next_after: str | None
    """Cursor of the next page; None on the last one."""


def _of_drift(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": body["kind"],
        "detector": body["detector"],
        "observed": body["statistic"],
        "rows": body["current_rows"],
    }


def _of_alert(body: dict[str, Any]) -> dict[str, Any]:
    return {"kind": body["alert"], "detector": "", "observed": body["value"], "rows": body["rows"]}
