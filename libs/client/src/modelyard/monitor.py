"""The monitor's API."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from modelyard.results import (
    AlertPage,
    EventRecord,
    Histogram,
    MembersOverTime,
    ModelTraffic,
    PerformanceAlarm,
    RecordedEvent,
    RejectedLabels,
    StabilityOverTime,
    StoredPrediction,
    TimelinePage,
    TrafficOverTime,
    VersionHealth,
)
from modelyard.transport import ApiClient, part


class MonitorClient(ApiClient):
    """Drift, alarms, health, timelines. `changes()` follows alerts."""

    def health(self, model: str, *, since: datetime, route: str | None = None) -> tuple[VersionHealth, ...]:
        """Predictions, errors, latencies and labels per version and variant."""
        path = f"/v1/models/{part(model)}/health"
        found = self.get(path, since=since.isoformat(), route=route)["versions"]
        return tuple(map(VersionHealth.model_validate, found))

    def drift(self, model: str, *, limit: int = 50) -> tuple[RecordedEvent, ...]:
        """The newest drift events, newest first."""
        found = self.items(f"/v1/models/{part(model)}/drift", limit=limit)
        return tuple(map(RecordedEvent.model_validate, found))

    def alarms(self, model: str, *, version: int | None = None, closed: bool = False) -> tuple[PerformanceAlarm, ...]:
        """Performance alarms of a model or version, newest first; only open ones unless `closed`."""
        path, state = f"/v1/models/{part(model)}/alarms", "all" if closed else "open"
        found = self.items(path, version=version, state=state)
        return tuple(map(PerformanceAlarm.model_validate, found))

    def psi(self, model: str, *, window_s: float | None = None) -> list[dict[str, Any]]:
        """Population stability index per version, variant and feature."""
        return self.items(f"/v1/models/{part(model)}/psi", window_s=window_s)

    def psi_over_time(
        self,
        model: str,
        *,
        feature: str | None = None,
        version: int | None = None,
        since: datetime | None = None,
        bucket_s: int | None = None,
    ) -> StabilityOverTime:
        """PSI by interval; by default hours of the last day. feature: `""` for the score and the classes."""
        path = f"/v1/models/{part(model)}/psi/over-time"
        found = self.get(path, feature=feature, version=version, since=_moment(since), bucket_s=bucket_s)
        return StabilityOverTime.model_validate(found)

    def histogram(
        self,
        model: str,
        *,
        feature: str | None = None,
        version: int | None = None,
        variant: str | None = None,
        kind: str | None = None,
        window_s: int | None = None,
    ) -> tuple[Histogram, ...]:
        """Counts in training and in the last `window_s` seconds (default: an hour), by bins with readable labels."""
        path = f"/v1/models/{part(model)}/bins"
        asked = {"feature": feature, "version": version, "variant": variant, "kind": kind, "window_s": window_s}
        return tuple(map(Histogram.model_validate, self.items(path, **asked)))

    def traffic(
        self, *, since: datetime | None = None, limit: int | None = None, models: Sequence[str] = ()
    ) -> tuple[ModelTraffic, ...]:
        """Models with traffic since a moment (default: the last hour), busiest first. models: only these."""
        asked = {"since": _moment(since), "limit": limit, "model": list(models) or None}
        return tuple(map(ModelTraffic.model_validate, self.items("/v1/traffic", **asked)))

    def traffic_over_time(
        self, model: str, *, since: datetime | None = None, bucket_s: int | None = None, route: str | None = None
    ) -> TrafficOverTime:
        """Traffic by interval, version and variant; by default minutes of the last hour."""
        path = f"/v1/models/{part(model)}/traffic"
        return TrafficOverTime.model_validate(self.get(path, since=_moment(since), bucket_s=bucket_s, route=route))

    def rejected_labels(self, model: str, *, since: datetime | None = None) -> RejectedLabels:
        """Labels that do not match the model, of predictions since a moment (default: the last hour)."""
        path = f"/v1/models/{part(model)}/labels/rejected"
        return RejectedLabels.model_validate(self.get(path, since=_moment(since)))

    def members_over_time(
        self, model: str, *, since: datetime | None = None, bucket_s: int | None = None
    ) -> MembersOverTime:
        """What each member of a vote would have answered alone; by default hours of the last day."""
        path = f"/v1/models/{part(model)}/members/over-time"
        return MembersOverTime.model_validate(self.get(path, since=_moment(since), bucket_s=bucket_s))

    def alerts(
        self,
        model: str | None = None,
        *,
        since: datetime | None = None,
        limit: int | None = None,
        after: str | None = None,
        kind: str | None = None,
        severity: str | None = None,
    ) -> AlertPage:
        """Drifts and alerts of one model or of all, newest first. kind: such as `performance`, or an alert's name."""
        asked = {"model": model, "since": _moment(since), "limit": limit, "after": after}
        return AlertPage.model_validate(self.get("/v1/alerts", **asked, kind=kind, severity=severity))

    def prediction(self, prediction_id: str, *, model: str | None = None) -> tuple[StoredPrediction, ...]:
        """The prediction with its labels; an item per model that answered under this id. 404 when none is stored."""
        return tuple(
            map(StoredPrediction.model_validate, self.items(f"/v1/predictions/{part(prediction_id)}", model=model))
        )

    def timeline(self, correlation_id: UUID | str) -> tuple[RecordedEvent, ...]:
        """All events with one correlation id, oldest first."""
        found = self.get(f"/v1/timelines/{correlation_id}")["events"]
        return tuple(map(RecordedEvent.model_validate, found))

    def timelines(
        self,
        model: str | None = None,
        *,
        since: datetime | None = None,
        started: bool = False,
        limit: int | None = None,
        after: str | None = None,
    ) -> TimelinePage:
        """Timelines of one model or of all, newest first, each with how far it has come.

        started: only those with a run that began, an evaluation or a rollout.
        """
        asked = {"model": model, "since": _moment(since), "started": started or None, "limit": limit, "after": after}
        found = self.get("/v1/timelines", **asked)
        return TimelinePage.model_validate(found)

    def event(self, event_id: UUID | str) -> EventRecord:
        """One control event, of a drift or an alert with its summary; 404 when there is none that this key may read."""
        return EventRecord.model_validate(self.get(f"/v1/events/{part(str(event_id))}"))

    def ingest(self) -> dict[str, Any]:
        """Stored rows and lag per partition."""
        found: dict[str, Any] = self.get("/v1/ingest")
        return found


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
