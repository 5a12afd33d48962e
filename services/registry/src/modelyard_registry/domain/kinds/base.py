"""The interface of a kind, and reading of manifests that its strategies share."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from modelyard_contracts.documents import Document, DocumentError, canonical_json, digest_of, read, write
from modelyard_contracts.manifest import FileEntry, Permissions, Source
from modelyard_contracts.messages.base import Part
from modelyard_contracts.policies import GatePolicy
from modelyard_contracts.sentences import explain
from modelyard_registry.domain.lineage import Link
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.values import Version
from modelyard_runtime.errors import Invalid

ManifestSource = bytes | Mapping[str, Any]
"""A manifest as its writer made it (bytes, stored as they are), or an object that the registry writes."""
MANIFEST: str = "manifest"
DocumentT = TypeVar("DocumentT", bound=Document)


@dataclass(frozen=True)
class Content:
    """The parts of a manifest that the registry uses; `data` is the identity."""

    data: bytes
    reference: str
    files: tuple[FileEntry, ...]
    flavour: str
    task: str | None = None
    feature_schema_id: str | None = None
    signature_digest: str | None = None
    """SHA-256 of the signature's canonical JSON, to detect two signatures under one schema id."""
    run_id: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    source: Source | None = None
    permissions: Permissions = field(default_factory=Permissions)
    links: frozenset[Link] = frozenset()
    """What the version was made from."""
    connection: str | None = None
    """Reference of the connection that it is called through."""

    @property
    def framework(self) -> str | None:
        """Framework that wrote the files, without its version."""
        return (self.source.framework.split()[0] if self.source and self.source.framework.strip() else None) or None

    @property
    def digest(self) -> str:
        return digest_of(self.data)


class KindStrategy(Protocol):
    """Everything that is special about one kind."""

    policies: Mapping[str, type[Part]]
    """Policy kinds that resources of this kind have."""
    scanned: bool
    """Whether the files of a version are scanned before it is registered: those that a process loads."""

    def validate(self, manifest: ManifestSource) -> Content:
        """Check a new manifest strictly; Invalid names the field."""

    def admit(self, content: Content) -> None:
        """Check what the document's own rules cannot; Invalid names the field."""

    def gate(self, policy: GatePolicy) -> Sequence[Signal]:
        """Return the moves that follow registration without evidence from another service."""


def check_document(cls: type[DocumentT], manifest: ManifestSource) -> tuple[bytes, DocumentT]:
    """The bytes to store and the document in them; unknown fields are refused."""
    raw = _parse(manifest) if isinstance(manifest, bytes) else manifest
    _check_storable(raw)
    try:
        document = cls.model_validate(raw)
    except ValidationError as error:
        raise _invalid(error) from error
    if isinstance(manifest, bytes):
        _require_stated(cls, raw)
        return manifest, document
    return write(document), document


def read_document(cls: type[DocumentT], data: bytes) -> DocumentT:
    """A stored document, read tolerantly."""
    try:
        return read(cls, data)
    except DocumentError as error:
        raise Invalid(str(error), field=error.field) from error


def title(reference: str, version: Version) -> str:
    """First lines of every card."""
    name = f"{reference} {version.semver}" if version.semver else f"{reference} version {version.version}"
    tags = ", ".join(f"{key}={value}" for key, value in sorted(version.tags.items()))
    lines = [f"# {name}", "", f"- stage: {version.stage}", f"- digest: `{version.digest}`"]
    lines += [f"- registered by {version.created_by} at {version.created_at:%Y-%m-%d %H:%M} UTC"]
    return "\n".join([*lines, *([f"- tags: {tags}"] if tags else [])])


def _parse(data: bytes) -> Mapping[str, Any]:
    try:
        raw = json.loads(data, object_pairs_hook=_unique)
    except RecursionError as error:
        raise Invalid("manifest: is nested too deeply", field=MANIFEST) from error
    except _Repeated as error:
        raise Invalid(f"manifest: the key {str(error)[:80]!r} is there twice", field=MANIFEST) from error
    except ValueError as error:
        raise Invalid("manifest: is not JSON", field=MANIFEST) from error
    if not isinstance(raw, dict):
        raise Invalid("manifest: is not a JSON object", field=MANIFEST)
    return raw


class _Repeated(ValueError):
    """A key that one object holds twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Repeated(key)
        found[key] = value
    return found


def _check_storable(raw: Mapping[str, Any]) -> None:
    try:
        canonical_json(raw)
    except UnicodeEncodeError as error:
        raise Invalid("manifest: a text holds half a character (a lone surrogate)", field=MANIFEST) from error
    except ValueError as error:
        raise Invalid("manifest: NaN and infinity are no JSON; leave such numbers out", field=MANIFEST) from error
    except RecursionError as error:
        raise Invalid("manifest: is nested too deeply", field=MANIFEST) from error


def _require_stated(cls: type[Document], raw: Mapping[str, Any]) -> None:
    """Refuse bytes that leave out what readers would otherwise derive."""
    required = [name for name, info in cls.model_fields.items() if info.is_required()]
    for name in ("schema_version", "kind", *required):
        if name in cls.model_fields and name not in raw:
            raise Invalid(f"manifest.{name}: missing; state it in the manifest", field=f"manifest.{name}")


def _invalid(error: ValidationError) -> Invalid:
    explained = explain(error, "manifest")
    return Invalid(explained.sentence, field=explained.field)
