"""Answers of the registry, as frozen values; fields of a newer release are ignored."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from modelyard_contracts import VersionStage


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class ModelInfo(Record):
    name: str
    description: str = ""
    owner: str = ""
    labels: dict[str, str] = {}
    revision: int
    """Number of facts about the model so far; gapless."""
    latest_version: int
    """0 when there is none."""
    aliases: dict[str, int] = {}
    created_at: datetime


class VersionInfo(Record):
    model: str
    version: int
    digest: str
    stage: VersionStage
    flavour: str = ""
    feature_schema_id: str = ""
    created_at: datetime
    created_by: str
    run_id: str | None = None
    correlation_id: str
    metrics: dict[str, float] = {}
    aliases: tuple[str, ...] = ()
    kind: str = "model"
    semver: str | None = None
    tags: dict[str, str] = {}
    task: str | None = None
    missing_blobs: tuple[str, ...] = ()
    """Filled while the version is pending: upload these, then finalize."""


class AliasInfo(Record):
    alias: str
    version: int
    digest: str
    generation: int
    moved_at: datetime
    actor: str
    reason: str = ""


class PolicyInfo(Record):
    kind: str
    revision: int
    """0: never set, the document is the default."""
    document: dict[str, Any]


class DatasetInfo(Record):
    digest: str
    name: str
    model: str | None = None
    format: str
    rows: int
    size_bytes: int
    columns: dict[str, str] = {}
    """Name to type."""
    source: dict[str, Any] = {}
    """How to make it again: SQL, offsets, window."""
    created_at: datetime
    created_by: str


class HistoryEntry(Record):
    """One line of a model's history. `revision` is None for what happened elsewhere and is only recorded here."""

    position: int
    """Place in the model's history, gapless from 1; the cursor of `history(after=...)`."""
    revision: int | None = None
    change: str
    version: int | None = None
    digest: str | None = None
    stage: VersionStage | None = None
    previous_stage: VersionStage | None = None
    alias: str | None = None
    alias_generation: int | None = None
    policy: str | None = None
    actor: str
    reason: str = ""
    event_id: str
    correlation_id: str
    cause_id: str | None = None
    occurred_at: datetime
    detail: dict[str, Any] = {}


class ApiKeyInfo(Record):
    id: str
    name: str
    kind: str = "user"
    roles: dict[str, tuple[str, ...]] = {}
    """Workspace, or `*` for all of them, to roles."""
    scopes: tuple[str, ...] | None = None
    """Narrow the roles; None does not."""
    created_at: datetime
    created_by: str = ""
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    replaces: str | None = None
    """Id of the key that this one was rotated from."""
    key: str | None = None
    """The text of the key, only in the answer that created it."""
