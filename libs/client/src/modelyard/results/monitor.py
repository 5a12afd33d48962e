"""Results of the monitor."""

from datetime import datetime
from typing import Any

from pydantic import Field

from modelyard.results.base import Result


class RecordedEvent(Result):
    """An event as the monitor stored it."""

    event_id: str
    type: str = ""
    occurred_at: datetime | str
    correlation_id: str
    topic: str = ""
    model: str = ""
    cause_id: str | None = None
    """The event that led to this one."""
    payload: dict[str, Any] = Field(default_factory=dict)


class PerformanceAlarm(Result):
    """The errors of a version rose; see `state` for whether they still are."""

    version: int
    subject: str
    """`error_rate` or `mean_absolute_error`."""
    state: str
    """`open`, `recovered`, `replaced` (by another champion) or `expired`."""
    since: datetime
    last_event_at: datetime
    reason: str = ""
    change_point: datetime | None = None
    """Prediction time of the first labelled row after the change; None if the labels show no single change."""
    error_before: float | None = None
    error_after: float | None = None
    error_now: float | None = None


class TimelineSummary(Result):
    """All events of one correlation id in one row."""

    correlation_id: str
    model: str
    started_at: datetime
    last_at: datetime
    events: int
    first_event_id: str
    first_topic: str
    first_summary: str = ""
    """Reason of the first event."""
    run_id: str | None = None
    run_state: str | None = None
    version: int | None = None
    evaluation_id: str | None = None
    verdict: str | None = None
    rollout_id: str | None = None
    rollout_state: str | None = None
    outcome: str
    """How far it has come: `promoted`, `rejected`, `training`; `recorded` when nothing followed the first event."""

    @property
    def seconds(self) -> float:
        """Time from the first event to the newest one."""
        return (self.last_at - self.started_at).total_seconds()


class TimelinePage(Result):
    """Timelines, newest first."""

    items: tuple[TimelineSummary, ...]
    next_after: str | None = None
    """Pass it as `after` for the next page; None on the last one."""


class VersionHealth(Result):
    """Requests, latencies and labels of one version and variant."""

    version: int
    variant: str = ""
    predictions: int = 0
    errors: int = 0
    labelled: int = 0
    wrong: int = 0


class ModelTraffic(Result):
    """Traffic of one model on all routes, without copies that are only logged."""

    model: str
    predictions: int
    errors: int
    labelled: int = 0
    wrong: int = 0
    mean_absolute_error: float | None = None
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    cost_usd: float = 0.0
    last_at: datetime
    versions: tuple[int, ...] = ()

    @property
    def wrong_share(self) -> float | None:
        """Share of labelled predictions that were wrong; None without labels."""
        return self.wrong / self.labelled if self.labelled else None


class MemberQuality(Result):
    """One version's votes in one interval, beside the answers that callers got on the same rows."""

    at: datetime
    version: int
    labelled: int = 0
    wrong: int = 0
    answers_wrong: int = 0
    mean_absolute_error: float | None = None
    answers_mean_absolute_error: float | None = None


class MembersOverTime(Result):
    """Quality of the members of votes by interval, oldest first; empty for a model without votes."""

    model: str
    bucket_s: int
    items: tuple[MemberQuality, ...] = ()


class TrafficBucket(Result):
    """Traffic of one version and variant in one interval."""

    at: datetime
    """Start of the interval."""
    version: int
    variant: str
    predictions: int
    errors: int
    labelled: int = 0
    wrong: int = 0
    mean_absolute_error: float | None = None
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    cost_usd: float = 0.0


class TrafficOverTime(Result):
    """Traffic by interval, oldest first; intervals without predictions are left out."""

    model: str
    bucket_s: int
    """Length of an interval, which may be longer than requested."""
    items: tuple[TrafficBucket, ...]


class RejectedText(Result):
    """A label that does not match."""

    text: str
    reason: str
    labels: int
    """How often it was received."""


class RejectedLabels(Result):
    """Labels that were received, but do not match the model: they are counted nowhere else."""

    model: str
    labels: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)
    """Labels by reason, such as `unknown_class`."""
    texts: tuple[RejectedText, ...] = ()
    """The most frequent ones."""
    remedy: str = ""
    """What to change so that labels match; empty while it is not known."""


class Alert(Result):
    """A drift or an alert."""

    event_id: str
    type: str
    """`drift` or `alert`."""
    model: str
    version: int
    variant: str
    occurred_at: datetime
    correlation_id: str
    kind: str
    subject: str
    """The feature, output or objective."""
    severity: str
    observed: float
    threshold: float
    detector: str = ""
    rows: int = 0
    window_start: datetime | None = None
    window_end: datetime | None = None
    recommendation: str = ""
    recommendation_reason: str = ""
    summary: str = ""
    evidence_sql: str = ""


class AlertPage(Result):
    """Drifts and alerts, newest first."""

    items: tuple[Alert, ...]
    next_after: str | None = None
    """Pass it as `after` for the next page; None on the last one."""


class UnseenValue(Result):
    """A value that the training data did not have."""

    value: str
    rows: int
    """Predictions of the alarm's window with this value."""


class EventRecord(RecordedEvent):
    """One control event."""

    alert: Alert | None = None
    """The event as it is listed among the drifts and alerts; None for any other event."""
    unseen: tuple[UnseenValue, ...] = ()
    """The most frequent values that the training data did not have, of an alarm to which they contributed."""


class StabilityBucket(Result):
    """PSI of one feature or output in one interval."""

    at: datetime
    version: int
    variant: str
    kind: str
    feature: str
    psi: float
    expected_without_drift: float
    p_value: float
    rows: int
    reference_rows: int


class StabilityOverTime(Result):
    """PSI by interval, oldest first."""

    model: str
    bucket_s: int
    items: tuple[StabilityBucket, ...]


class HistogramBin(Result):
    """Rows of one bin in training and in the window."""

    bin: int
    label: str
    """Such as `20 to 30`, `below 20`, a category, or `missing`."""
    lower: float | None = None
    upper: float | None = None
    category: str | None = None
    reference: int
    current: int


class Histogram(Result):
    """Counts of one feature or output of one version and variant."""

    version: int
    variant: str
    kind: str
    feature: str
    reference_rows: int
    current_rows: int
    bins: tuple[HistogramBin, ...]


class PredictionLabel(Result):
    """One label of a prediction."""

    label: str | None = None
    value: float | None = None
    source: str = ""
    occurred_at: datetime
    received_at: datetime
    rejected: str = ""
    """Why it does not match; empty when it does."""
    wrong: bool | None = None
    absolute_error: float | None = None


class StoredPrediction(Result):
    """A prediction as it was logged, with its labels."""

    prediction_id: str
    occurred_at: datetime
    model: str
    version: int
    digest: str
    route: str
    route_sequence: int = 0
    variant: str
    rule: str | None = None
    features: dict[str, float | str | None] | None = None
    """By name; None when the version's signature is not known."""
    class_: str | None = Field(default=None, alias="class")
    score: float | None = None
    scores: dict[str, float] | tuple[float, ...] = ()
    latency_ms: float | None = None
    cost_usd: float | None = None
    status: str
    attempts: tuple[dict[str, Any], ...] = ()
    votes: tuple[dict[str, Any], ...] = ()
    labels: tuple[PredictionLabel, ...] = ()
    is_wrong: bool | None = None
    absolute_error: float | None = None
