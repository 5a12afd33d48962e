"""The values of a single prediction: what was asked, answered and labelled."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from modelyard_contracts.signature import Signature
from modelyard_monitor.domain.reports import Report


class Attempt(Report):
    """One call of a version."""

    path: str
    model: str
    version: int
    digest: str
    status: str
    latency_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None


class Vote(Report):
    """The answer of one member of an ensemble."""

    path: str
    model: str
    version: int
    digest: str
    weight: float
    class_: str | None = Field(alias="class")
    score: float | None


class ReceivedLabel(Report):
    """One label of the prediction."""

    label: str | None
    value: float | None
    source: str
    occurred_at: datetime
    """When the true outcome became known."""
    received_at: datetime
    rejected: str
    """Why it does not match the prediction; empty when it does."""
    wrong: bool | None
    absolute_error: float | None


class StoredPrediction(Report):
    """A prediction as it was logged, with its labels."""

    prediction_id: str
    occurred_at: datetime
    received_at: datetime
    model: str
    version: int
    digest: str
    route: str
    route_sequence: int
    variant: str
    rule: str | None
    path: str
    entity_key_hash: str | None
    feature_schema_id: str | None
    features: dict[str, float | str | None] | None
    """By name; None when the version's signature is not known or the row breaks it, or features were left out."""
    num_features: tuple[float | None, ...]
    """In the order of the signature's numeric columns."""
    cat_features: tuple[str | None, ...]
    class_: str | None = Field(alias="class")
    score: float | None
    scores: dict[str, float] | tuple[float, ...]
    """By class where the signature is known."""
    text_length: int | None
    latency_ms: float | None
    overhead_ms: float | None
    cost_usd: float | None
    status: str
    attempts: tuple[Attempt, ...]
    votes: tuple[Vote, ...]
    shadow_of: str | None
    sampled: bool
    """False when features were left out by sampling."""
    labels: tuple[ReceivedLabel, ...]
    """Oldest first; the latest one that matches counts."""
    is_wrong: bool | None
    """None without a label that can be compared."""
    absolute_error: float | None


class StoredPredictions(Report):
    """Predictions with one id, one per model that answered under it."""

    items: tuple[StoredPrediction, ...]


def named_features(row: Mapping[str, Any], signature: Signature | None) -> dict[str, float | str | None] | None:
    """Return the features by name; None when they cannot be named."""
    if row["features_by_name"]:
        return dict(row["features_by_name"])
    if signature is None:
        return None
    numbers, texts = row["num_features"], row["cat_features"]
    if len(numbers) != len(signature.numeric) or len(texts) != len(signature.categorical):
        return None
    return {
        **dict(zip(signature.numeric, numbers, strict=True)),
        **dict(zip(signature.categorical, texts, strict=True)),
    }


def named_scores(scores: Sequence[float], signature: Signature | None) -> dict[str, float] | tuple[float, ...]:
    """Return the scores by class, or as they are when the classes are not known."""
    classes = signature.classes if signature else ()
    return dict(zip(classes, scores, strict=True)) if classes and len(classes) == len(scores) else tuple(scores)
