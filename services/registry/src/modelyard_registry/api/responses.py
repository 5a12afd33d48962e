"""Response bodies."""

from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from modelyard_contracts import VersionStage
from modelyard_registry.domain.values import Alias, ApiKey, Entry, Resource, ResourceKey, Version
from modelyard_registry.usecases.datasets import DatasetFile

ItemT = TypeVar("ItemT")


class Page(BaseModel, Generic[ItemT]):
    """`next_after` is the cursor of the next page, null on the last one."""

    items: list[ItemT]
    next_after: int | str | None = None


class WorkspaceOut(BaseModel):
    name: str
    description: str
    owner: str
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, resource: Resource) -> "WorkspaceOut":
        return cls(
            name=resource.key.name,
            description=resource.description,
            owner=resource.owner,
            created_at=resource.created_at,
            created_by=resource.created_by,
        )


class ResourceOut(BaseModel):
    """name: the reference."""

    name: str
    workspace: str
    kind: str
    description: str
    owner: str
    labels: dict[str, str]
    revision: int
    latest_version: int
    aliases: dict[str, int]
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, resource: Resource, aliases: dict[str, int]) -> "ResourceOut":
        return cls(
            name=resource.key.reference,
            workspace=resource.key.workspace,
            kind=resource.key.kind,
            description=resource.description,
            owner=resource.owner,
            labels=dict(resource.labels),
            revision=resource.revision,
            latest_version=resource.last_version,
            aliases=aliases,
            created_at=resource.created_at,
            created_by=resource.created_by,
        )


class VersionOut(BaseModel):
    """model: the reference of the resource, whatever its kind."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    kind: str
    version: int
    digest: str
    stage: VersionStage
    semver: str | None
    tags: dict[str, str]
    task: str | None
    flavour: str
    feature_schema_id: str
    created_at: datetime
    created_by: str
    run_id: str | None
    correlation_id: UUID
    metrics: dict[str, float]
    aliases: list[str]
    missing_blobs: list[str]

    @classmethod
    def of(
        cls, key: ResourceKey, version: Version, aliases: tuple[str, ...] = (), missing: tuple[str, ...] = ()
    ) -> "VersionOut":
        return cls(
            model=key.reference,
            kind=key.kind,
            version=version.version,
            digest=version.digest,
            stage=version.stage,
            semver=version.semver,
            tags=dict(version.tags),
            task=version.task,
            flavour=version.flavour,
            feature_schema_id=version.feature_schema_id or "",
            created_at=version.created_at,
            created_by=version.created_by,
            run_id=version.run_id,
            correlation_id=version.correlation_id,
            metrics=dict(version.metrics),
            aliases=list(aliases),
            missing_blobs=list(missing),
        )


class AliasOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    alias: str
    version: int
    digest: str
    generation: int
    moved_at: datetime
    actor: str
    reason: str

    @classmethod
    def of(cls, alias: Alias) -> "AliasOut":
        return cls.model_validate(alias)


class PolicyOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    kind: str
    revision: int
    document: dict[str, Any]


class DatasetFileOut(BaseModel):
    """name: the reference of the dataset. digest: of the file."""

    digest: str
    name: str
    version: int
    model: str | None
    format: str
    rows: int
    size_bytes: int
    columns: dict[str, str]
    source: dict[str, Any]
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, digest: str, file: DatasetFile) -> "DatasetFileOut":
        manifest = file.manifest
        return cls(
            digest=digest,
            name=file.key.reference,
            version=file.version.version,
            model=manifest.model,
            format=manifest.format,
            rows=manifest.rows,
            size_bytes=next(entry.size_bytes for entry in manifest.files if entry.digest == digest),
            columns=manifest.columns,
            source=manifest.source,
            created_at=file.version.created_at,
            created_by=file.version.created_by,
        )


class EntryOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    position: int
    revision: int | None
    change: str
    version: int | None
    digest: str | None
    stage: str | None
    previous_stage: str | None
    alias: str | None
    alias_generation: int | None
    policy: str | None
    actor: str
    reason: str
    event_id: UUID
    correlation_id: UUID
    cause_id: UUID | None
    occurred_at: datetime
    recorded_at: datetime
    detail: dict[str, Any]

    @classmethod
    def of(cls, entry: Entry) -> "EntryOut":
        return cls.model_validate(entry)


class KeyOut(BaseModel):
    """key: the text of a new key; null in every other answer."""

    id: str
    name: str
    kind: str
    roles: dict[str, list[str]]
    scopes: list[str] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    replaces: str | None
    key: str | None = None

    @classmethod
    def of(cls, key: ApiKey, text: str | None = None) -> "KeyOut":
        return cls(
            id=key.id,
            name=key.identity,
            kind=key.kind,
            roles={workspace: list(roles) for workspace, roles in key.roles.items()},
            scopes=None if key.scopes is None else list(key.scopes),
            created_at=key.created_at,
            created_by=key.created_by,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            replaces=key.replaces,
            key=text,
        )


class IntrospectionOut(BaseModel):
    """Only `active` when the key is unknown, expired or revoked."""

    active: bool
    identity: str | None = None
    kind: str | None = None
    roles: dict[str, list[str]] | None = None
    scopes: list[str] | None = None
    expires_at: datetime | None = None

    @classmethod
    def of(cls, key: ApiKey | None) -> "IntrospectionOut":
        if key is None:
            return cls(active=False)
        return cls(
            active=True,
            identity=key.identity,
            kind=key.kind,
            roles={workspace: list(roles) for workspace, roles in key.roles.items()},
            scopes=None if key.scopes is None else list(key.scopes),
            expires_at=key.expires_at,
        )
