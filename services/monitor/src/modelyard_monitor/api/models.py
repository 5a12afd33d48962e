"""Response models of the HTTP routes."""

from datetime import datetime
from uuid import UUID

from modelyard_monitor.domain.reports import (
    ConsumerLag,
    FeatureStability,
    MemberCalls,
    MemberQuality,
    PerformanceAlarm,
    RecordedEvent,
    Report,
    StoredPartition,
    UnwatchedVersion,
    VersionHealth,
)
from modelyard_monitor.domain.traffic import ModelTraffic


class ModelHealth(Report):
    """Health of a model's versions."""

    model: str
    versions: tuple[VersionHealth, ...]


class DriftEvents(Report):
    """Drift events of a model, newest first."""

    items: tuple[RecordedEvent, ...]


class PerformanceAlarms(Report):
    """Performance alarms of a model, newest first."""

    items: tuple[PerformanceAlarm, ...]


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


class MembersOverTime(Report):
    """Quality of the members of votes by interval, oldest first."""

    model: str
    bucket_s: int
    """Length of an interval; longer than requested when the time span needs more than 500 intervals."""
    items: tuple[MemberQuality, ...]


class TrafficList(Report):
    """Models with traffic since a moment, busiest first."""

    since: datetime
    items: tuple[ModelTraffic, ...]
