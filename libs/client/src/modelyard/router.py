"""The router's API: predictions, labels, explanations."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypedDict

import httpx
from pydantic import ConfigDict, Field

from modelyard.records import Record
from modelyard.results import FeedbackReceipt, LoadedRoute
from modelyard.transport import ApiClient, given, part

FeatureValue = float | int | str | bool | None
Json = dict[str, Any]


class Prediction(Record):
    """An answer, and the version that gave it."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=())

    prediction_id: str
    model: str
    version: int
    digest: str
    class_: str | None = Field(default=None, alias="class")
    score: float | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    value: float | None = None
    """The predicted number of a regression."""
    text: str | None = None
    embedding: tuple[float, ...] = ()
    """The vector of a model that embeds texts."""
    route: str
    variant: str
    votes: tuple[dict[str, Any], ...] = ()
    """Of an ensemble: the members that answered, with version, weight and own answer."""


class RoutedPrediction(Record):
    """A prediction, and how its route found the version that answered."""

    prediction: Prediction
    rule: str
    """`all`, the name of a rule, or `weight:0.1` for an arm of a split."""
    attempts: int
    """Calls of versions; the last one answered."""
    cost_usd: float
    overhead_ms: float
    """Time in the router, without the model servers."""


class Generation(Record):
    """A text as an answer, and the version that gave it."""

    generation_id: str
    model: str
    version: int
    digest: str
    text: str
    finish_reason: str | None = None
    """`stop`, or `length` if `max_tokens` was reached."""
    usage: dict[str, int] | None = Field(default_factory=dict)
    """Tokens; None for a model of a provider that reports none."""
    """Tokens: `input_tokens`, `output_tokens`."""
    route: str
    variant: str


class Message(TypedDict):
    """One message of a chat. role: `system` (the first one only), `user` or `assistant`."""

    role: str
    content: str


Prompt = str | Sequence[Message]
"""One text, or a chat whose last message is the user's."""
DONE: Final = "[DONE]"


class BrokenStream(RuntimeError):
    """An answer broke off; the pieces before are all there is of it."""


class RouterClient(ApiClient):
    """Predictions and texts by route, and feedback."""

    def predict(
        self,
        route: str,
        features: Mapping[str, FeatureValue] | Sequence[FeatureValue],
        *,
        entity_key: str | None = None,
        prediction_id: str | None = None,
    ) -> Prediction:
        """Predict one row. entity_key: keeps a caller on one version; prediction_id: the caller's own, for feedback."""
        response = self._predict(route, features, entity_key, prediction_id, {})
        return Prediction.model_validate(response.json())

    def predict_routed(
        self,
        route: str,
        features: Mapping[str, FeatureValue] | Sequence[FeatureValue],
        *,
        entity_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RoutedPrediction:
        """Predict one row, with rule, attempts and cost. headers: facts that rules of the route may compare."""
        response = self._predict(route, features, entity_key, None, headers or {})
        found = response.headers
        return RoutedPrediction(
            prediction=Prediction.model_validate(response.json()),
            rule=found.get("x-modelyard-rule", ""),
            attempts=int(found.get("x-modelyard-attempts", "1")),
            cost_usd=float(found.get("x-modelyard-cost-usd", "0")),
            overhead_ms=float(found.get("x-modelyard-overhead-ms", "0")),
        )

    def _predict(
        self,
        route: str,
        features: Mapping[str, FeatureValue] | Sequence[FeatureValue],
        entity_key: str | None,
        prediction_id: str | None,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        values = dict(features) if isinstance(features, Mapping) else list(features)
        body = given({"features": values, "entity_key": entity_key, "prediction_id": prediction_id})
        return self.request("POST", f"/v1/predict/{part(route)}", json=body, headers=dict(headers))

    def generate(
        self, route: str, prompt: Prompt, *, parameters: Mapping[str, Any] | None = None, entity_key: str | None = None
    ) -> Generation:
        """Answer a text or a chat with a text, whole. parameters: the model's own, such as max_tokens, temperature."""
        body = _asked(prompt, parameters, entity_key)
        return Generation.model_validate(self.post(f"/v1/generate/{part(route)}", body))

    def generate_stream(
        self, route: str, prompt: Prompt, *, parameters: Mapping[str, Any] | None = None, entity_key: str | None = None
    ) -> Iterator[str]:
        """The same piece by piece; BrokenStream if the answer ends before its end."""
        body = {**_asked(prompt, parameters, entity_key), "stream": True}
        for data in self.events(f"/v1/generate/{part(route)}", body):
            if data == DONE:
                return
            event = json.loads(data)
            if "error" in event:
                raise BrokenStream(str(event["error"].get("detail", "")))
            if event.get("text"):
                yield event["text"]
        raise BrokenStream("the connection ended before the answer")

    def infer(self, name: str, inputs: list[Json], *, request_id: str | None = None) -> Json:
        """Open Inference Protocol v2: many rows in one call."""
        found: Json = self.post(f"/v2/models/{part(name)}/infer", {"id": request_id, "inputs": inputs})
        return found

    def feedback(
        self,
        prediction_id: str,
        *,
        label: str | None = None,
        value: float | None = None,
        occurred_at: datetime | None = None,
        source: str | None = None,
        model: str | None = None,
    ) -> FeedbackReceipt:
        """Send the label of one prediction; returns when it is stored durably.

        model: the model that predicted, as the answer names it; needed where several models share prediction ids.
        """
        item = feedback_item(prediction_id, label, value, occurred_at, source, model)
        return FeedbackReceipt.model_validate(self.post("/v1/feedback", item))

    def feedback_many(self, items: Iterable[Mapping[str, Any]]) -> FeedbackReceipt:
        """Send many labels; items as `feedback_item` makes them."""
        return FeedbackReceipt.model_validate(self.post("/v1/feedback", {"items": [dict(item) for item in items]}))

    def routes(self) -> tuple[LoadedRoute, ...]:
        """The routes that this router executes."""
        return tuple(map(LoadedRoute.model_validate, self.get("/v1/routes")["routes"]))

    def explain(self, route: str, facts: Mapping[str, Any]) -> Json:
        """Return the attempts that the route would make for a request with these facts; sends nothing."""
        found: Json = self.post(f"/v1/routes/{part(route)}/explain", dict(facts))
        return found


def _asked(prompt: Prompt, parameters: Mapping[str, Any] | None, entity_key: str | None) -> Json:
    field = {"text": prompt} if isinstance(prompt, str) else {"messages": [dict(message) for message in prompt]}
    return given({**field, "parameters": dict(parameters or {}), "entity_key": entity_key})


def feedback_item(
    prediction_id: str,
    label: str | None = None,
    value: float | None = None,
    occurred_at: datetime | None = None,
    source: str | None = None,
    model: str | None = None,
) -> Json:
    """One label as JSON: exactly one of `label` and `value`."""
    if (label is None) == (value is None):
        raise ValueError("label, value: give one of them, not both")
    moment = occurred_at.isoformat() if occurred_at else None
    optional = {"label": label, "value": value, "occurred_at": moment, "source": source, "model": model}
    return given({"prediction_id": prediction_id, **optional})
