"""JSON documents that are stored or travel between services: strict for writers, tolerant for readers.

A document is written once, as canonical JSON, and those bytes are its identity. A writer (constructor,
`model_validate`) refuses unknown fields; a reader (`read`) ignores them, so that a document of a newer minor release
still works, and names the release that is needed when the major version is unknown.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self, TypeVar

from pydantic import ValidationError, model_validator

from modelyard_contracts.messages.base import Part
from modelyard_contracts.numbers import Index
from modelyard_contracts.sentences import explain

RELEASE: Final = "0.2"
"""The release series of this code, as compared with a document's `min_release`."""


class DocumentError(ValueError):
    """A document that cannot be read."""

    retryable = False
    code = "invalid_document"
    field: str | None = None


class NewerDocument(DocumentError):
    """The document has a major version that this release does not know; upgrade the reader."""

    code = "newer_document"

    def __init__(self, document: str, version: object, min_release: object) -> None:
        needed = f"Modelyard {min_release} or newer" if min_release else "a newer release of Modelyard"
        super().__init__(f"{document}: schema version {version} needs {needed}; this is {RELEASE}")
        self.field = "schema_version"


class InvalidDocument(DocumentError):
    """A field is missing or has a value that is not allowed."""

    def __init__(self, document: str, field: str, problem: str) -> None:
        super().__init__(f"{document}: {field}: {problem}" if field else f"{document}: {problem}")
        self.field = field


class Document(Part):
    """A JSON document with a major version; `SCHEMA_VERSION` is the one that this release writes."""

    DOCUMENT: ClassVar[str]
    """Name in error messages, such as `manifest`."""
    SCHEMA_VERSION: ClassVar[int] = 1
    MIN_RELEASE: ClassVar[str] = "0.2"

    schema_version: Index = 0
    """Major version; 0 in a constructor takes SCHEMA_VERSION."""
    min_release: str = ""
    """Oldest release that reads this major version."""

    @model_validator(mode="before")
    @classmethod
    def _fill_version(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        filled = dict(data)
        for name, unset, value in (("schema_version", 0, cls.SCHEMA_VERSION), ("min_release", "", cls.MIN_RELEASE)):
            given = data.get(name)
            if given is None or (type(given) is type(unset) and given == unset):
                filled[name] = value
        return filled

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.schema_version != self.SCHEMA_VERSION:
            raise ValueError(f"schema_version must be {self.SCHEMA_VERSION}, the one this release writes")
        return self


D = TypeVar("D", bound=Part)


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: equal values give equal bytes. ValueError on NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(data: bytes) -> str:
    """`sha256:` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def write(document: Part) -> bytes:
    """Canonical JSON of a document, made once; the bytes are stored and sent from then on."""
    return canonical_json(document.model_dump(mode="json", by_alias=True))


def read(cls: type[D], data: bytes | str | Mapping[str, Any]) -> D:
    """Read a document tolerantly: unknown fields are ignored at every depth.

    Raises NewerDocument on an unknown major version and InvalidDocument, which names the field, otherwise.
    """
    name = getattr(cls, "DOCUMENT", cls.__name__)
    raw = _parse(name, data)
    known = getattr(cls, "SCHEMA_VERSION", None)
    given = raw.get("schema_version")
    if known is not None and given is not None and (not isinstance(given, int) or given > known):
        raise NewerDocument(name, given, raw.get("min_release"))
    try:
        return cls.model_validate(raw, extra="ignore")
    except ValidationError as error:
        explained = explain(error)
        raise InvalidDocument(name, explained.field, explained.problem) from error
    except RecursionError as error:
        raise InvalidDocument(name, "", "is nested too deeply") from error


def _parse(name: str, data: bytes | str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(data, Mapping):
        return data
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidDocument(name, "", "is not JSON") from error
    if not isinstance(raw, dict):
        raise InvalidDocument(name, "", "is not a JSON object")
    return raw
