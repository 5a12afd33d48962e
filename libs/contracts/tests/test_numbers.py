"""Every number of every document and event has a range, and values outside of it are refused by the field's name."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin
from uuid import uuid4

import annotated_types
import pytest
from pydantic import AllowInfNan, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from modelyard_contracts import MESSAGES, EvaluationFinished, Part, datasets, policies, prompts, routes
from modelyard_contracts.codec import Codec, Undecodable
from modelyard_contracts.documents import InvalidDocument, read
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.messages.base import Message
from modelyard_contracts.numbers import ANY_FLOAT, finite_only, finite_or_none

DOCUMENTS: Final[tuple[type[Part], ...]] = (
    ModelManifest,
    datasets.DatasetManifest,
    prompts.PromptManifest,
    routes.RoutePlan,
    routes.RouteSpec,
    *policies.POLICIES.values(),
)
UNBOUNDED: Final = {
    "PredictionLogged.num_features",
    "PredictionLogged.features_by_name",
    "PredictionLogged.score",
    "PredictionLogged.scores",
    "Vote.score",
    "Vote.scores",
    "FeedbackReceived.value",
}
"""Values of live traffic, which the monitor counts as non-finite instead of refusing their records."""
NUMBERS: Final = (int, float)
HUGE: Final = (2**64, -(2**64), 2**63 - 1)
NOT_FINITE: Final = (float("nan"), float("inf"), float("-inf"))


def parts_of(part: type[Part], seen: set[type[Part]] | None = None) -> set[type[Part]]:
    """The class and all classes inside of it."""
    seen = set() if seen is None else seen
    if part not in seen:
        seen.add(part)
        for field in part.model_fields.values():
            for inner in classes_in(field.annotation):
                parts_of(inner, seen)
    return seen


def classes_in(annotation: Any) -> Iterator[type[Part]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for inner in get_args(annotation):
        yield from classes_in(inner)


def numbers_in(annotation: Any, metadata: list[Any]) -> Iterator[tuple[type, list[Any]]]:
    """Numbers of a field's type, each with the restrictions that apply to it."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from numbers_in(get_args(annotation)[0], [*metadata, *get_args(annotation)[1:]])
    elif origin in (Union, UnionType):
        for inner in get_args(annotation):
            yield from numbers_in(inner, metadata)
    elif origin in (tuple, dict, list):
        for inner in get_args(annotation):
            yield from numbers_in(inner, [])
    elif annotation in NUMBERS:
        yield annotation, flat(metadata)


def flat(metadata: list[Any]) -> list[Any]:
    return [item for one in metadata for item in (one.metadata if isinstance(one, FieldInfo) else [one])]


def all_numbers() -> dict[str, tuple[type, list[Any]]]:
    roots: list[type[Part]] = [*DOCUMENTS, *MESSAGES.values()]
    classes = {found for part in roots for found in parts_of(part)}
    return {
        f"{part.__name__}.{name}": found
        for part in classes
        for name, field in part.model_fields.items()
        for found in numbers_in(field.annotation, list(field.metadata))
    }


def test_the_walk_finds_numbers_at_every_depth() -> None:
    found = all_numbers()
    assert {"FeatureReference.counts", "Arm.weight", "Comparison.value", "OffsetRange.first_offset"} <= set(found)
    assert len(found) > 100


@pytest.mark.parametrize(
    ("where", "number"), sorted(all_numbers().items()), ids=lambda one: one if isinstance(one, str) else ""
)
def test_every_number_has_a_range(where: str, number: tuple[type, list[Any]]) -> None:
    kind, metadata = number
    if where in UNBOUNDED:
        assert ANY_FLOAT in metadata
        return
    assert ANY_FLOAT not in metadata
    range_: TypeAdapter[Any] = TypeAdapter(Annotated[kind, *metadata])  # type: ignore[arg-type]  # made at run time
    for value in HUGE if kind is int else NOT_FINITE:
        with pytest.raises(ValidationError):
            range_.validate_python(value)
    if kind is int:
        assert any(isinstance(one, annotated_types.Le | annotated_types.Lt) for one in metadata)
    else:
        assert any(isinstance(one, AllowInfNan) and not one.allow_inf_nan for one in metadata)


def verdict(**fields: Any) -> dict[str, Any]:
    given = {
        "event_id": uuid4(),
        "occurred_at": datetime(2026, 11, 20, tzinfo=UTC),
        "correlation_id": uuid4(),
        "model": "churn",
        "evaluation_id": uuid4(),
        "challenger_version": 2,
        "challenger_digest": "sha256:" + "0" * 64,
        "verdict": "deploy",
        "reasons": ("better",),
    }
    return given | fields


def forged(**fields: Any) -> bytes:
    """The bytes of an event that our own classes refuse to make."""
    return Codec().encode(EvaluationFinished.model_construct(**verdict(**fields)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("challenger_version", 0),
        ("challenger_version", 2**31),
        ("rows", 2**63 - 1),
        ("rows", -1),
        ("difference", float("nan")),
        ("difference", float("inf")),
        ("p_value", 1.5),
    ],
)
def test_a_number_out_of_range_is_refused_when_an_event_is_decoded(field: str, value: float) -> None:
    with pytest.raises(Undecodable, match=field):
        Codec().decode(forged(**{field: value}), EvaluationFinished)


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_a_moment_that_no_duration_can_be_added_to_is_refused(moment: datetime) -> None:
    with pytest.raises(Undecodable, match="years"):
        Codec().decode(forged(occurred_at=moment), EvaluationFinished)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e400", "-1e400", str(2**64), "9" * 5_000])
def test_a_document_with_a_number_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(InvalidDocument):
        read(policies.RolloutPolicy, f'{{"accuracy_margin": {text}, "min_samples": {text}}}')


def test_writers_leave_out_what_is_not_finite() -> None:
    assert finite_or_none(float("nan")) is None
    assert finite_or_none(0.5) == 0.5
    assert finite_only({"rmse": float("inf"), "mae": 2.0}) == {"mae": 2.0}


def test_every_message_is_part_of_the_walk() -> None:
    def below(message: type[Message]) -> Iterator[type[Message]]:
        for one in message.__subclasses__():
            yield one
            yield from below(one)

    own = {one for one in below(Message) if one.__module__.startswith("modelyard_contracts.") and hasattr(one, "TOPIC")}
    assert own == set(MESSAGES.values())
