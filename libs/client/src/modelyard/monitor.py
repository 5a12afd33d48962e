"""The monitor's API."""

from datetime import datetime
from typing import Any
from uuid import UUID

from modelyard.results import RecordedEvent, VersionHealth
from modelyard.transport import ApiClient, part


class MonitorClient(ApiClient):
    """Drift, health, timelines. `changes()` follows alerts."""

    def health(self, model: str, *, since: datetime, route: str | None = None) -> tuple[VersionHealth, ...]:
        """Predictions, errors, latencies and labels per version and variant."""
        path = f"/v1/models/{part(model)}/health"
        found = self.get(path, since=since.isoformat(), route=route)["versions"]
        return tuple(map(VersionHealth.model_validate, found))

    def drift(self, model: str, *, limit: int = 50) -> tuple[RecordedEvent, ...]:
        """The newest drift events, newest first."""
        found = self.items(f"/v1/models/{part(model)}/drift", limit=limit)
        return tuple(map(RecordedEvent.model_validate, found))

    def psi(self, model: str, *, window_s: float | None = None) -> list[dict[str, Any]]:
        """Population stability index per version, variant and feature."""
        return self.items(f"/v1/models/{part(model)}/psi", window_s=window_s)

    def timeline(self, correlation_id: UUID | str) -> tuple[RecordedEvent, ...]:
        """All events with one correlation id, oldest first."""
        found = self.get(f"/v1/timelines/{correlation_id}")["events"]
        return tuple(map(RecordedEvent.model_validate, found))

    def ingest(self) -> dict[str, Any]:
        """Stored rows and lag per partition."""
        found: dict[str, Any] = self.get("/v1/ingest")
        return found
