"""Bodies of the control API, and of the data endpoints for their description in OpenAPI."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(max_length=1_024)]


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class LeafView(BaseModel):
    """One version of a route."""

    path: str
    model: str
    variant: str
    version: int
    digest: str
    weight: float = Field(description="Share of the requests that reach its branch of the plan, 0 to 1.")
    urls: list[str]
    feature_schema_id: str
    cost_usd: float = Field(description="Per call.")
    timeout_ms: float | None


class RouteView(BaseModel):
    """An applied route."""

    route: str
    model: str
    workspace: str
    sequence: int
    timeout_ms: int
    rollout_id: UUID | None
    targets: list[LeafView]
    plan: dict[str, Any] | None = Field(description="The plan as published; null for the older list of targets.")


class RefusedView(BaseModel):
    """A published table that this router cannot use."""

    route: str
    sequence: int
    reason: str


class RoutesView(BaseModel):
    """All routes of this router."""

    router_id: str
    routes: list[RouteView]
    refused: list[RefusedView]


class SpoolView(BaseModel):
    """The log of predictions on disk."""

    group: str
    next_position: int
    shipped: int
    unsent: int
    size_bytes: int
    max_bytes: int
    broker_away: bool
    transactions: int


class ExplainRequest(Body):
    """Facts of a request. Missing ones are unknown to the plan."""

    entity: Name | None = None
    session: Name | None = None
    request: Name = Field("explain", description="The request's id: the unit of a split without another unit.")
    text_length: Annotated[int, Field(ge=0, le=2**53)] | None = None
    headers: dict[Name, Name] = Field(default_factory=dict)
    features: dict[str, str | float | bool | None] = Field(default_factory=dict)


class Choice(BaseModel):
    """A version that the plan may use for the request."""

    path: str
    rule: str
    model: str
    variant: str
    version: int
    digest: str
    after: list[str] = Field(description="Failures of the version before, after which this one is tried.")


class CopyView(BaseModel):
    """A copy of the request that would be sent."""

    name: str
    path: str
    model: str
    version: int


class ExplainAnswer(BaseModel):
    """The plan's decision for the given facts. No version was called."""

    route: str
    sequence: int
    chosen: Choice
    fallbacks: list[Choice]
    copies: list[CopyView]
    steps: list[dict[str, Any]] = Field(description="Each node of the plan that was passed, with its decision.")


class ServerMetadata(BaseModel):
    """Open Inference Protocol: the server."""

    name: Literal["modelyard-router"] = "modelyard-router"
    version: Literal["2"] = "2"
    extensions: list[str]


class ModelMetadata(BaseModel):
    """Open Inference Protocol: a model."""

    name: str
    versions: list[str]
    platform: Literal["modelyard"] = "modelyard"
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    parameters: dict[str, Any]


class Ready(BaseModel):
    """Open Inference Protocol: readiness of a model."""

    ready: Literal[True] = True


class PredictRequest(Body):
    """One row."""

    features: dict[str, str | float | bool | None] | list[str | float | bool | None]
    entity_key: Annotated[str, Field(min_length=1, max_length=1_024)] | None = None
    prediction_id: Annotated[str, Field(pattern=r"^[!-~]{1,200}$")] | None = None


class VoteView(BaseModel):
    """The answer of one member of an ensemble."""

    path: str
    model: str
    version: int
    digest: str
    weight: float = Field(description="As published, relative to the other members.")
    class_: str | None = Field(None, alias="class")
    score: float | None = None
    value: float | None = None


class PredictAnswer(BaseModel):
    """The answer, by the task: class and scores, or value, or embedding."""

    prediction_id: str
    model: str
    version: int
    digest: str
    route: str
    variant: str
    class_: str | None = Field(None, alias="class")
    score: float | None = None
    scores: dict[str, float] | None = None
    value: float | None = None
    text: str | None = None
    embedding: list[float] | None = None
    votes: list[VoteView] | None = Field(
        None, description="Of an ensemble: the members that answered, in the order of the plan."
    )


class Label(Body):
    """The true class or value of one prediction."""

    prediction_id: Annotated[str, Field(min_length=1, max_length=256)]
    label: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    value: float | None = None
    occurred_at: str | None = Field(None, description="RFC 3339, with an offset.")
    source: Annotated[str, Field(min_length=1, max_length=200)] = "api"
    model: str | None = Field(None, description="Model that predicted; needed where models share prediction ids.")


class Labels(Body):
    """Many labels at once: all are stored or none."""

    items: Annotated[list[Label], Field(min_length=1)]


class Accepted(BaseModel):
    """The number of labels stored."""

    accepted: int


class Message(Body):
    """One message of a chat, as OpenAI's API writes it."""

    role: Literal["system", "user", "assistant"]
    content: str


class GenerateBody(Body):
    """A text or a chat to answer."""

    text: str | None = Field(None, description="Either this or `messages`.")
    messages: Annotated[list[Message], Field(min_length=1, max_length=1_000)] | None = Field(
        None, description="A chat; the last message is the user's, only the first may be of the system."
    )
    stream: bool = False
    parameters: dict[str, Any] = Field(default_factory=dict, description="The model's own, such as max_tokens.")
    entity_key: Annotated[str, Field(min_length=1, max_length=1_024)] | None = None
    session_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    generation_id: Annotated[str, Field(pattern=r"^[!-~]{1,200}$")] | None = None


class GenerateReply(BaseModel):
    """A whole answer. With `stream` the answer is server-sent events instead."""

    generation_id: str
    model: str
    version: int
    digest: str
    text: str
    finish_reason: str | None
    usage: dict[str, int] | None
    route: str
    variant: str


class InferTensor(BaseModel):
    """One input or output."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class InferBody(BaseModel):
    """Open Inference Protocol: many rows."""

    id: str | None = None
    inputs: list[InferTensor]
    parameters: dict[str, Any] | None = Field(None, description="`entity_key` and `prediction_ids` are the router's.")


class InferAnswer(BaseModel):
    """Open Inference Protocol: one output tensor per part of the answer."""

    model_name: str
    model_version: str
    outputs: list[InferTensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
