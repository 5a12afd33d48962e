"""Values that the registry stores."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from modelyard_contracts import VersionStage
from modelyard_contracts.references import Reference


@dataclass(frozen=True)
class Origin:
    """Who made a change, when and why, and the timeline it belongs to."""

    actor: str
    reason: str
    at: datetime
    correlation_id: UUID
    cause_id: UUID | None = None


@dataclass(frozen=True, order=True)
class ResourceKey:
    """Identity of a resource."""

    workspace: str
    kind: str
    name: str

    @property
    def reference(self) -> str:
        """`name` in the default workspace, else `workspace:name`."""
        return str(Reference(self.workspace, self.name))

    @property
    def event_key(self) -> str:
        """Key of its events: the reference of a model, `<kind>/<reference>` for other kinds."""
        return self.reference if self.kind == "model" else f"{self.kind}/{self.reference}"


@dataclass(frozen=True)
class NewResource:
    """A resource to create."""

    key: ResourceKey
    description: str
    owner: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Resource:
    """A named thing with versions, aliases, policies and a history."""

    id: int
    """Number in the database; never leaves the registry."""
    key: ResourceKey
    description: str
    owner: str
    labels: Mapping[str, str]
    revision: int
    """Number of the last published change."""
    last_version: int
    created_at: datetime
    created_by: str


@dataclass(frozen=True)
class Version:
    """An immutable version; only its stage, tags and (once) its semver label change."""

    version: int
    digest: str
    """SHA-256 of `manifest`."""
    stage: VersionStage
    idempotency_key: str
    manifest: bytes
    """The bytes as they were received."""
    flavour: str
    feature_schema_id: str | None
    task: str | None
    run_id: str | None
    metrics: Mapping[str, float]
    semver: str | None
    tags: Mapping[str, str]
    correlation_id: UUID
    cause_id: UUID | None
    created_at: datetime
    created_by: str
    last_event_id: UUID | None
    """The last event about this version: the cause of the next one."""


@dataclass(frozen=True)
class VersionFilter:
    """Conditions of a search; None does not filter. tag: a name and the value it must have."""

    stage: VersionStage | None = None
    task: str | None = None
    semver: str | None = None
    tag: tuple[str, str] | None = None


@dataclass(frozen=True)
class Alias:
    """A name for one version."""

    alias: str
    version: int | None
    """None: the alias was dropped; its generation continues."""
    digest: str | None
    generation: int
    actor: str
    reason: str
    moved_at: datetime


@dataclass(frozen=True)
class Policy:
    """One revision of a policy; revision 0 is the default of this release."""

    kind: str
    revision: int
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One line of a resource's history; `revision` is None for facts that were published elsewhere."""

    position: int
    revision: int | None
    change: str
    actor: str
    reason: str
    event_id: UUID
    correlation_id: UUID
    cause_id: UUID | None
    occurred_at: datetime
    recorded_at: datetime
    version: int | None = None
    digest: str | None = None
    stage: str | None = None
    previous_stage: str | None = None
    alias: str | None = None
    alias_generation: int | None = None
    policy: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RolloutSeen:
    """The newest known state of a rollout."""

    rollout_id: UUID
    model: str
    revision: int
    state: str
    occurred_at: datetime


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret."""

    id: str
    identity: str
    kind: str
    """`user` or `service`."""
    roles: Mapping[str, tuple[str, ...]]
    """Workspace to roles; `*` is every workspace."""
    scopes: tuple[str, ...] | None
    """Narrow the roles; None does not."""
    secret_hash: str
    """HMAC-SHA256 of the secret, which is stored nowhere."""
    hash_secret_id: str
    """Id of the key-hash secret that made `secret_hash`."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    replaces: str | None = None
    """Id of the key that this one was rotated from."""

    def active(self, now: datetime) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True)
class SubjectVersion:
    """One schema as one version of a subject."""

    subject: str
    version: int
    schema_id: int
    deleted: bool = False
