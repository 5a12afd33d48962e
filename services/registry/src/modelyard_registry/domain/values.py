"""The things the registry keeps, as frozen values."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from modelyard_contracts import VersionStage


@dataclass(frozen=True)
class Story:
    """Who did something, when, why, and what it belongs to."""

    actor: str
    reason: str
    at: datetime
    correlation_id: UUID
    cause_id: UUID | None = None


@dataclass(frozen=True)
class Model:
    name: str
    description: str
    owner: str
    labels: dict[str, str]
    revision: int
    """Number of the last fact that was told to others."""
    last_version: int
    created_at: datetime


@dataclass(frozen=True)
class Version:
    model: str
    version: int
    digest: str
    stage: VersionStage
    idempotency_key: str
    manifest: str
    """Canonical JSON; the digest is of these bytes, so it is kept as it came and never written anew."""
    flavour: str
    feature_schema_id: str
    run_id: str | None
    metrics: dict[str, float]
    correlation_id: UUID
    cause_id: UUID | None
    created_at: datetime
    created_by: str
    last_event_id: UUID | None
    """The last event told about it: the cause of the next."""


@dataclass(frozen=True)
class Alias:
    alias: str
    version: int | None
    """None: it points nowhere, and its generation goes on."""
    digest: str | None
    generation: int
    actor: str
    reason: str
    moved_at: datetime


@dataclass(frozen=True)
class Policy:
    kind: str
    revision: int
    document: dict[str, Any]


@dataclass(frozen=True)
class Dataset:
    digest: str
    name: str
    model: str | None
    format: str
    rows: int
    size_bytes: int
    columns: dict[str, str]
    source: dict[str, Any]
    created_at: datetime
    created_by: str


@dataclass(frozen=True)
class Entry:
    """One line of a model's history; `revision` is None where it only records what happened elsewhere."""

    model: str
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
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RolloutSeen:
    """The last that was heard of a rollout."""

    rollout_id: UUID
    model: str
    revision: int
    state: str
    occurred_at: datetime


@dataclass(frozen=True)
class ApiKey:
    id: str
    name: str
    scopes: tuple[str, ...]
    secret_hash: str
    """HMAC of the secret; the secret itself is kept nowhere."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def active(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True)
class SubjectVersion:
    """One schema as one version of a subject."""

    subject: str
    version: int
    schema_id: int
    deleted: bool = False
