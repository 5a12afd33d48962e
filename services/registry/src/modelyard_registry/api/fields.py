"""Types of fields and parameters that several requests share."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from modelyard_contracts.card import Prose
from modelyard_contracts.references import NAME_PATTERN, REFERENCE_PATTERN, WORKSPACE_PATTERN
from modelyard_contracts.sentences import describe_form
from modelyard_registry.domain.errors import UnknownCursor
from modelyard_registry.domain.names import DIGEST, SEMVER
from modelyard_registry.domain.tracking import Point
from modelyard_registry.domain.values import LineageFilter
from modelyard_runtime.errors import Invalid

MAX_INT: Final = 2**53
MAX_DEPTH: Final = 32
"""Nesting of a document that is only stored."""


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a text may not hold the character NUL")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("holds half a character (a lone surrogate)") from error
    return text


def _storable(document: dict[str, Any]) -> dict[str, Any]:
    """Refuse what a database or a reader could not hold: deep nesting, NaN, half characters."""
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in _inside(value)]
    if level:
        raise ValueError(f"nested deeper than {MAX_DEPTH}; flatten it")
    try:
        json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:  # UnicodeEncodeError too
        raise ValueError("holds NaN, infinity or half a character (a lone surrogate); leave it out") from error
    return document


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _manifest(value: Any) -> Any:
    if not isinstance(value, str | dict):
        raise ValueError("must be the manifest's text, or a JSON object")  # noqa: TRY004  pydantic reports ValueError
    return value


Document = Annotated[dict[str, Any], AfterValidator(_storable)]
Manifest = Annotated[
    Any, AfterValidator(_manifest), WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]})
]
Text = Annotated[str, Field(max_length=4_000), AfterValidator(_no_nul)]
CardText = Annotated[Prose, AfterValidator(_no_nul)]
CleanText = Annotated[str, AfterValidator(_no_nul)]
Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_no_nul)]
Reason = Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_no_nul)]
Tags = Annotated[dict[Line, Text], Field(max_length=64)]
Semver = Annotated[str, Field(pattern=describe_form(SEMVER, "a semantic version such as 1.2.0"), max_length=200)]
Digest = Annotated[str, Field(pattern=DIGEST)]
Name = Annotated[str, Field(pattern=REFERENCE_PATTERN)]
WorkspaceName = Annotated[str, Field(pattern=rf"^{WORKSPACE_PATTERN}$")]
DatasetName = Annotated[str, Field(pattern=rf"^{NAME_PATTERN}$")]

ReferencePath = Annotated[str, Path(max_length=200, description="`name`, or `workspace:name`")]
WorkspacePath = Annotated[str, Path(max_length=63)]
VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]
PageCursor = Annotated[str, Query(max_length=200, description="`next_after` of the page before")]
Moment = Annotated[str | None, Query(max_length=64, description="moment with a zone, ISO 8601")]
Limit = Annotated[int, Query(ge=1, le=1_000)]
After = Annotated[int, Query(ge=0, le=MAX_INT)]


def lineage_filter(
    dataset: Annotated[CleanText | None, Query(max_length=200, description="made from data with this digest")] = None,
    base_model: Annotated[
        CleanText | None,
        Query(max_length=512, description="fine-tuned from it: as the manifest states it, `model` or `model@3`"),
    ] = None,
    run: Annotated[CleanText | None, Query(max_length=200, description="made by the training run with this id")] = None,
) -> LineageFilter:
    """What a version was made from; an empty text filters nothing."""
    return LineageFilter(dataset or None, base_model or None, run or None)


Lineage = Annotated[LineageFilter, Depends(lineage_filter)]


def name_and_value(text: str | None, field: str) -> tuple[str, str] | None:
    """Parse `NAME=VALUE` of a query parameter; Invalid names the field."""
    if text is None:
        return None
    name, found, value = text.partition("=")
    if not found or not name:
        raise Invalid(f"{field}: write NAME=VALUE", field=field)
    return name, value


def page_cursor(moment: datetime, first: int, second: int) -> str:
    """Return an opaque cursor of a list that is ordered by a moment and two numbers."""
    return urlsafe_b64encode(f"{moment.isoformat()}~{first}~{second}".encode()).decode()


def read_page_cursor(text: str) -> tuple[datetime, int, int] | None:
    """Return the parts of a cursor; None for the first page ('')."""
    if not text:
        return None
    try:
        moment, first, second = urlsafe_b64decode(text.encode()).decode().split("~")
        return datetime.fromisoformat(moment).astimezone(UTC), _small(first), _small(second)
    except (ValueError, OverflowError) as error:  # binascii.Error and UnicodeDecodeError too
        raise Invalid("after: is no cursor of this list; send next_after of the page before", field="after") from error


def written_point_cursor(last: Point) -> str:
    """Return the cursor after a point of a metric."""
    return urlsafe_b64encode(f"{last.step}~{last.timestamp_ms}~{last.number!r}".encode()).decode()


def read_point_cursor(text: str) -> tuple[int, int, str] | None:
    """Return the parts of a cursor of points; None for the first page ('')."""
    if not text:
        return None
    try:
        step, at, number = urlsafe_b64decode(text.encode()).decode().split("~")
        return int(step), int(at), repr(float(number))
    except (ValueError, OverflowError) as error:
        raise UnknownCursor from error


def _small(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MAX_INT:
        raise ValueError(f"{number} is out of range")
    return number


class Body(BaseModel):
    """Base of request bodies: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
