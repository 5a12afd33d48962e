"""Types of fields and parameters that several requests share."""

import json
from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from modelyard_contracts.references import NAME_PATTERN, REFERENCE_PATTERN, WORKSPACE_PATTERN
from modelyard_contracts.sentences import describe_form
from modelyard_registry.domain.names import DIGEST, SEMVER

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
Limit = Annotated[int, Query(ge=1, le=1_000)]
After = Annotated[int, Query(ge=0, le=MAX_INT)]


class Body(BaseModel):
    """Base of request bodies: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
