"""Response bodies."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from modelyard_contracts import VersionStage
from modelyard_contracts.admission import ScanReport, ScanVerdict
from modelyard_contracts.comparison import Resemblance
from modelyard_registry.domain.names import WORKSPACE
from modelyard_registry.domain.values import (
    Alias,
    DigestMatch,
    Entry,
    Neglected,
    Resource,
    ResourceKey,
    Scan,
    StagedVersion,
    Version,
    VersionSummary,
)
from modelyard_registry.usecases.datasets import DatasetFile

MAX_RESEMBLES: Final = 3
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


class ListedResourceOut(ResourceOut):
    """flavour, task: of the champion, or of the newest version when there is none. stages: versions per stage."""

    champion_version: int | None
    newest_version: int | None
    versions: int
    stages: dict[str, int]
    flavour: str | None
    task: str | None

    @classmethod
    def listed(cls, resource: Resource, aliases: dict[str, int], summary: VersionSummary) -> "ListedResourceOut":
        return cls(
            **ResourceOut.of(resource, aliases).model_dump(),
            champion_version=summary.champion,
            newest_version=resource.last_version or None,
            versions=resource.last_version,
            stages=dict(summary.stages),
            flavour=summary.flavour,
            task=summary.task,
        )


class FacetsOut(BaseModel):
    """Value to number of resources, most frequent first, at most 100 of each. stage: a version has it."""

    model_config = ConfigDict(from_attributes=True)

    owner: dict[str, int]
    workspace: dict[str, int]
    stage: dict[str, int]
    flavour: dict[str, int]
    task: dict[str, int]
    framework: dict[str, int]
    license: dict[str, int]
    source: dict[str, int]
    scan_verdict: dict[str, int]


class NeglectedOut(BaseModel):
    """no_card: no version has prose. never_live: no rollout gave a version traffic. duplicate: most bytes of the
    champion, or of the newest version, are files of another model."""

    model: str
    no_owner: bool
    no_card: bool
    never_live: bool
    duplicate: bool

    @classmethod
    def of(cls, found: Neglected) -> "NeglectedOut":
        flags = {name: getattr(found, name) for name in cls.model_fields if name != "model"}
        return cls(model=found.key.reference, **flags)


class StagedVersionOut(BaseModel):
    """stage_since, stage_reason: when and why the version reached its stage."""

    model_config = ConfigDict(protected_namespaces=(), from_attributes=True)

    model: str
    kind: str
    version: int
    digest: str
    stage: VersionStage
    stage_since: datetime | None
    stage_reason: str
    semver: str | None
    flavour: str
    task: str | None
    run_id: str | None
    metrics: dict[str, float]
    created_at: datetime
    created_by: str
    correlation_id: UUID

    @classmethod
    def of(cls, version: StagedVersion) -> "StagedVersionOut":
        fields = {name: getattr(version, name) for name in cls.model_fields if name not in ("model", "kind")}
        return cls(model=version.key.reference, kind=version.key.kind, **fields)


class DigestMatchOut(StagedVersionOut):
    """file: path of the file with the digest; null when the digest is that of the manifest, so of the version."""

    file: str | None

    @classmethod
    def found(cls, match: DigestMatch) -> "DigestMatchOut":
        return cls(**StagedVersionOut.of(match.version).model_dump(), file=match.path)


class VersionOut(BaseModel):
    """model: the reference of the resource, whatever its kind. source_kind: null for versions of training runs.

    scan_verdict, scan_rules: result and rules of the last scan; null before the first one. card_digest: of the card at
    the first approval. labels_revision: changes of tags and semver label, for a change that must not overwrite another.
    """

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
    framework: str | None
    license: str | None
    source_kind: str | None
    scan_verdict: ScanVerdict | None
    scan_rules: str | None
    card_digest: str | None
    labels_revision: int
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
            framework=version.framework,
            license=version.license,
            source_kind=version.source_kind,
            scan_verdict=ScanVerdict(version.scan_verdict) if version.scan_verdict else None,
            scan_rules=version.scan_rules,
            card_digest=version.card_digest,
            labels_revision=version.labels_revision,
            aliases=list(aliases),
            missing_blobs=list(missing),
        )


class VersionDetailOut(VersionOut):
    """resembles: versions that the caller may read and that share files or tensors, in words, the most alike first."""

    resembles: list[str]

    @classmethod
    def detailed(cls, version: VersionOut, found: Sequence[Resemblance]) -> "VersionDetailOut":
        return cls(**version.model_dump(), resembles=[one.sentence for one in found[:MAX_RESEMBLES]])


class ScanOut(BaseModel):
    """current: the rules of the scan, and for dependencies the snapshot, are those of today."""

    report: ScanReport
    scanned_at: datetime
    current: bool

    @classmethod
    def of(cls, scan: Scan, current_rules: Collection[str]) -> "ScanOut":
        return cls(report=scan.report, scanned_at=scan.scanned_at, current=scan.report.rules_version in current_rules)


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


class AuditOut(EntryOut):
    """resource: the reference, or the name of a workspace. action: what happened, such as `version_moved`."""

    kind: str
    resource: str
    workspace: str

    @classmethod
    def on(cls, key: ResourceKey, entry: Entry) -> "AuditOut":
        line = EntryOut.of(entry).model_dump()
        resource = key.name if key.kind == WORKSPACE else key.reference
        return cls(**line, kind=key.kind, resource=resource, workspace=key.workspace)


class PolicyRevisionOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    kind: str
    revision: int
    document: dict[str, Any]
    actor: str
    reason: str
    set_at: datetime
