"""The router's API: predictions and the truth about them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from modelyard.loop import Json, _items, _object
from modelyard.records import Record
from modelyard.registry import _part
from modelyard.transport import ApiClient, given

FeatureValue = float | int | str | None


class Prediction(Record):
    """An answer, and the exact version that gave it."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=())

    prediction_id: str
    model: str
    version: int
    digest: str
    class_: str | None = Field(default=None, alias="class")
    score: float | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    route: str
    variant: str


class RouterClient(ApiClient):
    """Predictions by route, and feedback."""

    def predict(
        self,
        route: str,
        features: Mapping[str, FeatureValue] | Sequence[FeatureValue],
        *,
        entity_key: str | None = None,
        prediction_id: str | None = None,
    ) -> Prediction:
        """One row. entity_key: whoever should stay with one version; prediction_id: the caller's own, for feedback."""
        values = dict(features) if isinstance(features, Mapping) else list(features)
        body = given({"features": values, "entity_key": entity_key, "prediction_id": prediction_id})
        return Prediction.model_validate(self.post(f"/v1/predict/{_part(route)}", body))

    def infer(self, name: str, inputs: list[Json], *, request_id: str | None = None) -> Json:
        """Open Inference Protocol v2: many rows in one call."""
        return _object(self.post(f"/v2/models/{_part(name)}/infer", {"id": request_id, "inputs": inputs}))

    def feedback(
        self,
        prediction_id: str,
        *,
        label: str | None = None,
        value: float | None = None,
        occurred_at: datetime | None = None,
        source: str | None = None,
    ) -> Json:
        """The truth about one prediction; returns when it is safe."""
        return _object(self.post("/v1/feedback", feedback_item(prediction_id, label, value, occurred_at, source)))

    def feedback_many(self, items: Iterable[Mapping[str, Any]]) -> Json:
        """Many at once; items as `feedback_item` makes them."""
        return _object(self.post("/v1/feedback", {"items": [dict(item) for item in items]}))

    def routes(self) -> list[Json]:
        """The tables this router answers by."""
        return _items(self.get("/v1/routes"))


def feedback_item(
    prediction_id: str,
    label: str | None = None,
    value: float | None = None,
    occurred_at: datetime | None = None,
    source: str | None = None,
) -> Json:
    """One feedback as JSON; exactly one of label and value is needed."""
    if (label is None) == (value is None):
        raise ValueError("label, value: give exactly one of them")
    moment = occurred_at.isoformat() if occurred_at else None
    return given(
        {"prediction_id": prediction_id, "label": label, "value": value, "occurred_at": moment, "source": source}
    )
