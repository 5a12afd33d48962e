"""Summaries of stored batches, and the drift and alerts found in them."""

from enum import StrEnum
from typing import ClassVar

from pydantic import model_validator

from modelyard_contracts.messages.base import (
    ControlMessage,
    Field,
    Message,
    Name,
    Part,
    Severity,
    UtcDatetime,
    fill_workspace,
)
from modelyard_contracts.numbers import Amount, Count, Finite, Index, LoggedVersion, Share
from modelyard_contracts.references import DEFAULT_WORKSPACE


class OffsetRange(Part):
    """Records of one partition, both ends included."""

    topic: Name
    partition: Index
    first_offset: Count
    last_offset: Count


class FeatureSlice(Part):
    """One feature within a slice: integer counts over frozen bins, and moments of its finite values."""

    name: str
    counts: tuple[Count, ...]
    """Per bin, in the order of the reference profile (missing, non-finite, other, then the bins)."""
    finite: Count = 0
    total: Finite = 0.0
    """Sum of the finite values."""
    total_squares: Amount = 0.0


class SliceSource(StrEnum):
    """Which stored batch a slice sums up."""

    PREDICTIONS = "predictions"
    LABELS = "labels"


class SliceSummarised(Message):
    """One stored batch of one (model, version, variant): small enough for a keyed, stateful reader.

    Its id is derived from the offsets it covers, so a replayed batch gives the same event.
    """

    TOPIC: ClassVar[str] = "monitoring.slice.summarised.v1"

    model: Name
    workspace: Name = DEFAULT_WORKSPACE
    model_version: LoggedVersion
    model_digest: Name
    variant: Name
    source: SliceSource
    covers: OffsetRange
    window_start: UtcDatetime
    window_end: UtcDatetime
    rows: Count
    """Predictions stored, or labels that met their prediction."""
    errors: Count = 0
    """Predictions whose status is not ok."""
    latency_ms_total: Finite = 0.0
    latency_ms_max: Finite = 0.0
    feature_schema_id: Name | None = None
    features: tuple[FeatureSlice, ...] = ()
    score: FeatureSlice | None = None
    classes: FeatureSlice | None = None
    """Predicted classes over the categories of the reference profile; None without such a profile."""
    class_counts: dict[str, Count] = Field(default_factory=dict)
    outcomes: tuple[Index, ...] = ()
    """Labels only: 1 where the prediction was wrong, 0 where right, in the order the labels arrived."""
    absolute_errors: tuple[Amount, ...] = ()
    """Labels of a regression only: |value - label| in the unit of the target, in the order the labels arrived."""
    label_lag_s_total: Finite = 0.0
    unusable_rows: Count = 0
    """Answered predictions that do not have the signature's number of features, and are left out of the counts."""
    rejected_labels: dict[str, Count] = Field(default_factory=dict)
    """Labels only: received labels that do not match the model, by reason; they are in no other field."""
    rejected_texts: dict[str, Count] = Field(default_factory=dict)
    """The most frequent of them, shortened."""

    _fill_workspace = model_validator(mode="before")(fill_workspace)

    @property
    def key(self) -> str:
        return self.model


class DriftKind(StrEnum):
    """What moved: an input, the score or value, the distribution of classes, or the agreement with labels."""

    FEATURE = "feature"
    SCORE = "score"
    CLASSES = "classes"
    PERFORMANCE = "performance"


class Recommendation(StrEnum):
    """Action that a drift or an alert expects to pay. Readers accept values of newer releases, as plain text."""

    RETRAIN = "retrain"
    """Labelled rows after the change exist, or none will come soon enough to judge it."""
    WAIT_FOR_LABELS = "wait_for_labels"
    """Labels of these rows are on their way and will show whether the errors rose."""
    CHECK_INPUT = "check_input"
    """The producer of the subject, a column or the requests, is the likely cause."""
    CHECK_LABELS = "check_labels"
    """The producer of the labels is the likely cause."""
    ROLL_BACK = "roll_back"
    """The version is worse than expected since it began to serve."""
    NOTHING = "nothing"
    """Nothing depends on what moved, as far as the labels show."""


class DriftDetected(ControlMessage):
    """Something moved, beyond chance and beyond a size that matters, with the evidence to check it."""

    TOPIC: ClassVar[str] = "monitoring.drift.detected.v1"

    model_version: LoggedVersion
    model_digest: Name
    variant: Name = "stable"
    kind: DriftKind
    subject: str
    """A feature's name, `score`, `classes`, `error_rate` or `mean_absolute_error`."""
    detector: str
    severity: Severity
    reason: str
    """One sentence a person can act on."""
    statistic: Finite
    threshold: Finite
    p_value: Share | None = None
    q_value: Share | None = None
    """p-value after Benjamini-Hochberg over the features of the window."""
    reference_rows: Count
    current_rows: Count
    window_start: UtcDatetime
    window_end: UtcDatetime
    bin_edges: tuple[Finite, ...] = ()
    reference_counts: tuple[Count, ...] = ()
    current_counts: tuple[Count, ...] = ()
    covers: tuple[OffsetRange, ...] = ()
    sql: str = ""
    """A query that recomputes the statistic from stored rows."""
    recommendation: str = ""
    """A Recommendation; '' from a monitor of an earlier release."""
    recommendation_reason: str = ""
    """One sentence: why this action."""
    dispersion: Amount = 1.0
    """Variance of the counts over that of independent rows, >= 1, that the threshold and the p-value allow for."""
    change_at: UtcDatetime | None = None
    """Prediction time of the first row after the change; None if the rows show no single change."""


class AlertRaised(ControlMessage):
    """An objective is broken, or evidence is missing: not a drift, but a person should look."""

    TOPIC: ClassVar[str] = "monitoring.alert.raised.v1"

    model_version: LoggedVersion
    model_digest: Name
    variant: Name = "stable"
    alert: str
    """Kind, in snake case: `error_rate_high`, `missing_values_high`, `labels_missing`, `labels_do_not_match`,
    `unusable_rows_high`."""
    subject: str
    severity: Severity
    reason: str
    value: Finite
    threshold: Finite
    rows: Count
    window_start: UtcDatetime
    window_end: UtcDatetime
    sql: str = ""
    recommendation: str = ""
    """A Recommendation; '' from a monitor of an earlier release."""
    recommendation_reason: str = ""
    """One sentence: why this action."""
