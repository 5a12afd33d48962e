"""The values of reports: health of versions, drift, stability of features, timelines, stored partitions."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from modelyard_contracts import DriftKind, Severity
from modelyard_monitor.domain.alarms import AlarmState


class Report(BaseModel):
    """Base of all reports: frozen, and strict about its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _in_utc(cls, data: Any) -> Any:
        """ClickHouse returns moments in UTC without a zone; answers must name it."""
        return {name: _with_zone(value) for name, value in data.items()} if isinstance(data, dict) else data


class VersionHealth(Report):
    """Requests and labels of one version under one variant."""

    version: int
    variant: str
    predictions: int
    errors: int
    """Predictions whose status is neither `ok` nor `rejected`."""
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    """None without a finite latency."""
    labelled: int
    """Predictions with a label that can be compared; the latest label counts."""
    wrong: int
    labelled_values: int
    """Predictions of a regression with a true value."""
    mean_absolute_error: float | None
    absolute_error_sd: float | None
    """In the unit of the target; None without labels."""
    rejected_labels: int
    """Labels that do not match: outside the classes, of the wrong kind, empty, or about several models."""
    unusable: int
    """Answered requests without the signature's number of features, on all routes: stored, but not counted."""
    unwatched: str
    """Why rows of this version are stored but not counted; empty when they are counted."""


class RecordedEvent(Report):
    """One control event as it was recorded."""

    event_id: str
    topic: str
    type: str
    occurred_at: datetime
    recorded_at: datetime
    correlation_id: str
    cause_id: str | None
    model: str
    payload: dict[str, Any]
    """The whole event."""


class PerformanceAlarm(Report):
    """The errors of a version rose: an error rate, or a mean absolute error in the unit of the target."""

    version: int
    digest: str
    variant: str
    subject: str
    """`error_rate` or `mean_absolute_error`."""
    state: AlarmState
    severity: Severity
    since: datetime
    """Moment of its first event."""
    last_event_at: datetime
    event_id: str
    """Its newest event."""
    correlation_id: str
    reason: str
    recommendation: str
    change_point: datetime | None
    """Prediction time of the first labelled row after the change; None if the labels show no single change, such as
    for a version whose errors were high from its first label on."""
    error_before: float | None
    error_after: float | None
    """Mean errors before and after the change, until the newest event."""
    labels_after_change: int | None
    error_now: float | None
    """Mean error of the newest labelled rows predicted after the newest event; None without any."""
    labels_now: int


class BinCounts(Report):
    """Rows of one bin in training and in the window. -1 missing, -2 non-finite, -3 other, then the profile's bins."""

    bin: int
    reference: int
    current: int


class FeatureStability(Report):
    """PSI of one feature, the score or the classes of one version and variant over a window."""

    version: int
    variant: str
    kind: DriftKind
    """`feature`, `score` or `classes`."""
    feature: str
    """Empty for score and classes."""
    psi: float
    expected_without_drift: float
    p_value: float
    reference_rows: int
    current_rows: int
    bins: tuple[BinCounts, ...]
    definition: str


class StoredPartition(Report):
    """Rows stored from one Kafka partition; `rows` equals `distinct_offsets` when nothing was stored twice."""

    topic: str
    partition: int
    rows: int
    distinct_offsets: int
    last_offset: int
    newest: datetime


class PartitionLag(Report):
    """Progress of one partition that this process reads; null is not known yet."""

    topic: str
    partition: int
    rows: int
    """Rows stored by this process."""
    last_offset: int | None
    """Offset of the last stored record."""
    last_record_at: datetime | None
    """Kafka timestamp of the last stored record."""
    lag_records: int | None
    """Offsets from the oldest record that is not stored to the end of the partition."""
    lag_s: float | None
    """Age of the oldest record that is not stored; 0 after catching up."""


class ConsumerLag(Report):
    """One consumer group of this process."""

    group: str
    lag_records: int | None
    partitions: tuple[PartitionLag, ...]
    stopped: dict[str, str]
    """Partitions that stopped on an unknown error, with the error."""


class UnwatchedVersion(Report):
    """A version whose rows are stored but not counted, and why."""

    model: str
    version: int
    digest: str
    reason: str


class MemberLoss(Report):
    """What one version lost on the rows of a group."""

    version: int
    digest: str
    loss: float
    """Sum of losses in [0, 1]; where one member was drawn, each is divided by its weight, at least 0.05."""


class VoteGroup(Report):
    """Labelled predictions on which the same members voted."""

    members: tuple[MemberLoss, ...]
    rows: int
    loss: float
    """Of the answers that callers got."""
    expected: float
    """What members drawn with the recorded weights would have lost."""
    drawn: bool
    """Whether one member was drawn to answer each row alone."""
    inverse: float
    """Sum of the inverse weights of drawn rows; the number of rows of others."""


class MemberCalls(Report):
    """Calls of one version, on all routes and in all votes, without those of copies that are only logged."""

    version: int
    asked: int
    failed: int
    """Errors of the model server and answers that did not come in time."""
    latency_ms_p95: float | None


class MemberQuality(Report):
    """One version's votes in one interval, beside the answers that callers got on the same rows."""

    at: datetime
    """Start of the interval, of the prediction."""
    version: int
    labelled: int
    """Labelled rows of a classifier on which the version voted."""
    wrong: int
    answers_wrong: int
    mean_absolute_error: float | None
    """Of a regression; None for a classifier."""
    answers_mean_absolute_error: float | None


class VotePage(Report):
    """Votes on the labels that came after a cursor."""

    model: str
    cursor: str
    """For the next page; labels up to here are in this page or in an earlier one."""
    labels: int
    groups: tuple[VoteGroup, ...]
    more: bool
    """Whether further labels are stored already."""


def _with_zone(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
