"""Answered predictions, generated answers, and the labels that arrive later."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import model_validator

from modelyard_contracts.messages.base import Field, Message, Part, fill_workspace
from modelyard_contracts.numbers import Count, Finite, LoggedVersion, Measured
from modelyard_contracts.references import DEFAULT_WORKSPACE


class PredictionStatus(StrEnum):
    """How a request ended; only `ok` carries an answer of the model."""

    OK = "ok"
    REJECTED = "rejected"
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"


class Attempt(Part):
    """One call of a version on the way to an answer."""

    path: str
    """Steps of the route's plan that led to the version, joined by `/`; empty for a plan of one leaf."""
    model: str
    version: LoggedVersion
    digest: str
    status: PredictionStatus
    latency_ms: Finite = 0.0
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: Finite = 0.0


class Vote(Part):
    """The answer of one member of an ensemble; the answer of the request is their combination."""

    path: str
    model: str
    version: LoggedVersion
    digest: str
    weight: Finite
    """As published, relative to the other members."""
    class_: str | None = Field(default=None, alias="class")
    score: Measured | None = None
    """As in PredictionLogged."""


class PredictionLogged(Message):
    """One answered row: the exact bytes that answered it, its inputs and outputs, latency and cost.

    Features are positional: `feature_schema_id` fixes their order, numbers and texts apart.
    Validating each record would be too slow at this volume: the monitor decodes the topic in batches to columns.
    """

    TOPIC: ClassVar[str] = "serving.prediction.logged.v1"

    prediction_id: str
    workspace: str = DEFAULT_WORKSPACE
    model: str
    model_version: LoggedVersion
    model_digest: str
    route: str
    route_sequence: Count = 0
    variant: str = "stable"
    rule: str | None = None
    """Why the version was chosen: the name of a rule, or its weight."""
    path: str = ""
    """Path of the attempt that answered."""
    entity_key_hash: str | None = None
    feature_schema_id: str | None = None
    num_features: tuple[Measured | None, ...] = ()
    cat_features: tuple[str | None, ...] = ()
    features_by_name: dict[str, Measured] = Field(default_factory=dict)
    """For upstreams without a contract; slower in every way, so a contract wins when both are given."""
    class_: str | None = Field(default=None, alias="class")
    score: Measured | None = None
    """Probability of the positive class, or the predicted value of a regression."""
    scores: tuple[Measured, ...] = ()
    text_length: Count | None = None
    latency_ms: Finite = 0.0
    """From the first byte in to the last byte out, as the router saw it."""
    overhead_ms: Finite = 0.0
    """The router's own share of `latency_ms`."""
    cost_usd: Finite = 0.0
    status: PredictionStatus = PredictionStatus.OK
    attempts: tuple[Attempt, ...] = ()
    """All calls in order; the last one answered, unless `votes` are given. Upstreams may leave it empty."""
    shadow_of: str | None = None
    sampled: bool = True
    """False when the features were left out by sampling."""
    votes: tuple[Vote, ...] = ()
    """Members that answered, in the order of the plan; `model_version` is the first one. A member that was drawn to
    answer alone is the only one, with the weight with which it was drawn."""

    _fill_workspace = model_validator(mode="before")(fill_workspace)

    @property
    def key(self) -> str:
        return self.prediction_id


class GenerationStatus(StrEnum):
    """How a generation ended."""

    OK = "ok"
    REJECTED = "rejected"
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    CLIENT_CLOSED = "client_closed"
    """The caller closed the connection before the end."""


class TextPolicy(StrEnum):
    """How much of input and output a generation's record holds."""

    NONE = "none"
    HASH = "hash"
    REDACTED = "redacted"
    FULL = "full"


class GenerationAttempt(Part):
    """One call of a version on the way to an answer."""

    path: str
    model: str
    version: LoggedVersion
    digest: str
    status: GenerationStatus
    latency_ms: Finite = 0.0
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: Finite = 0.0


class GenerationLogged(Message):
    """One generated answer, written when its stream ends, however it ends."""

    TOPIC: ClassVar[str] = "serving.generation.logged.v1"

    generation_id: str
    workspace: str = DEFAULT_WORKSPACE
    model: str
    model_version: LoggedVersion
    model_digest: str
    route: str
    route_sequence: Count = 0
    variant: str = "stable"
    rule: str | None = None
    path: str = ""
    entity_key_hash: str | None = None
    session_id: str | None = None
    prompt_name: str | None = None
    prompt_version: LoggedVersion | None = None
    feature_schema_id: str | None = None
    input_characters: Count = 0
    output_characters: Count = 0
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    time_to_first_token_ms: Finite | None = None
    latency_ms: Finite = 0.0
    """From the first byte in to the end of the stream."""
    overhead_ms: Finite = 0.0
    cost_usd: Finite = 0.0
    status: GenerationStatus = GenerationStatus.OK
    finish_reason: str | None = None
    """As the model server reports it: `stop`, `length`; None when the stream was broken off."""
    attempts: tuple[GenerationAttempt, ...] = ()
    text_policy: TextPolicy = TextPolicy.NONE
    input_text: str | None = None
    output_text: str | None = None

    _fill_workspace = model_validator(mode="before")(fill_workspace)

    @property
    def key(self) -> str:
        return self.generation_id


class FeedbackReceived(Message):
    """The label of one prediction, whenever it becomes known; a later label corrects an earlier one."""

    TOPIC: ClassVar[str] = "serving.feedback.received.v1"

    cause_id: UUID | None = None
    prediction_id: str
    workspace: str = DEFAULT_WORKSPACE
    label: str | None = None
    """The true class; None for a regression."""
    value: Measured | None = None
    """The true value; None for a classification."""
    source: str = "api"
    model: str | None = None
    """Reference of the model that predicted; callers whose models share prediction ids name it."""

    _fill_workspace = model_validator(mode="before")(fill_workspace)

    @property
    def key(self) -> str:
        return self.prediction_id
