"""What callers and upstreams say: predictions that were answered, labels that arrived."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from modelyard_contracts.messages.base import Field, Message


class PredictionStatus(StrEnum):
    """How a request ended; only `ok` carries an answer of the model."""

    OK = "ok"
    REJECTED = "rejected"
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"


class PredictionLogged(Message):
    """One answered row: which exact bytes answered it, with what, how fast, at what cost.

    Features are positional: `feature_schema_id` fixes their order, numeric and categorical apart.
    Volume makes validation per record dear: the monitor decodes this topic in batches to columns.
    """

    TOPIC: ClassVar[str] = "serving.prediction.logged.v1"

    prediction_id: str
    tenant: str = "default"
    model: str
    model_version: int
    model_digest: str
    route: str
    route_sequence: int = 0
    variant: str = "stable"
    rule: str | None = None
    entity_key_hash: str | None = None
    feature_schema_id: str | None = None
    num_features: tuple[float | None, ...] = ()
    cat_features: tuple[str | None, ...] = ()
    features_by_name: dict[str, float] = Field(default_factory=dict)
    """For upstreams without a contract; dearer in every way, so a contract wins when both are there."""
    class_: str | None = Field(default=None, alias="class")
    score: float | None = None
    """Probability of the positive class, or the predicted value of a regression."""
    scores: tuple[float, ...] = ()
    text_length: int | None = None
    latency_ms: float = 0.0
    """From the first byte in to the last byte out, as the router saw it."""
    overhead_ms: float = 0.0
    """The router's own share of `latency_ms`."""
    cost_usd: float = 0.0
    status: PredictionStatus = PredictionStatus.OK
    attempts: int = 1
    shadow_of: str | None = None
    sampled: bool = True
    """False when the features were left out by sampling."""

    @property
    def key(self) -> str:
        return self.prediction_id


class FeedbackReceived(Message):
    """The truth about one prediction, whenever it becomes known; a later one corrects an earlier one."""

    TOPIC: ClassVar[str] = "serving.feedback.received.v1"

    cause_id: UUID | None = None
    prediction_id: str
    tenant: str = "default"
    label: str | None = None
    """The true class; None for a regression."""
    value: float | None = None
    """The true value; None for a classification."""
    source: str = "api"

    @property
    def key(self) -> str:
        return self.prediction_id
