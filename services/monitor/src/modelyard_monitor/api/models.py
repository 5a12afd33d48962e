"""Response models of the HTTP routes."""

from uuid import UUID

from modelyard_monitor.domain.reports import (
    ConsumerLag,
    FeatureStability,
    MemberCalls,
    RecordedEvent,
    Report,
    StoredPartition,
    UnwatchedVersion,
    VersionHealth,
)


class ModelHealth(Report):
    """Health of a model's versions."""

    model: str
    versions: tuple[VersionHealth, ...]


class DriftEvents(Report):
    """Drift events of a model, newest first."""

    items: tuple[RecordedEvent, ...]


class ModelStability(Report):
    """PSI per version, variant and feature."""

    items: tuple[FeatureStability, ...]


class Timeline(Report):
    """All events of one correlation id, in order."""

    correlation_id: UUID
    events: tuple[RecordedEvent, ...]


class IngestState(Report):
    """Stored rows per partition, and the consumers of this process."""

    stored: tuple[StoredPartition, ...]
    consumers: tuple[ConsumerLag, ...]


class UnwatchedVersions(Report):
    """Versions whose rows this process stores without counting them."""

    items: tuple[UnwatchedVersion, ...]


class Members(Report):
    """Calls of the versions of a model, which may be members of a vote."""

    model: str
    members: tuple[MemberCalls, ...]
