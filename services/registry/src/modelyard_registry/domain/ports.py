"""Ports of the use cases: tables by aggregate, blobs, time, secrets."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from modelyard_contracts import Message, VersionStage
from modelyard_contracts.admission import ScanReport, TensorDigest
from modelyard_contracts.card import CardRelease, CardRevision
from modelyard_contracts.manifest import FileEntry
from modelyard_registry.domain.avro import AvroSchema
from modelyard_registry.domain.conditions import Comparison, Order
from modelyard_registry.domain.connections import Connections
from modelyard_registry.domain.key_hashes import HashSecrets
from modelyard_registry.domain.lineage import Lineage
from modelyard_registry.domain.tracking_ports import Experiments, LoggedModels, RunArtifacts, Runs
from modelyard_registry.domain.values import (
    Alias,
    ApiKey,
    AuditLines,
    AuditScope,
    DigestMatch,
    Entry,
    Facets,
    Neglected,
    NewResource,
    Origin,
    Policy,
    PolicyRevision,
    Resource,
    ResourceFilter,
    ResourceKey,
    ResourceSort,
    RolloutSeen,
    Scan,
    Shared,
    StagedVersion,
    SubjectVersion,
    Version,
    VersionFilter,
    VersionSummary,
)
from modelyard_runtime.clock import Clock


class Resources(Protocol):
    """Models, datasets, prompts and workspaces."""

    def add(self, resource: NewResource, origin: Origin) -> bool: ...  # False when the name is taken
    def get(self, key: ResourceKey) -> Resource: ...  # ResourceNotFound
    def lock(self, key: ResourceKey) -> Resource: ...  # ResourceNotFound; others that lock it wait for our end
    def describe(self, resource: Resource, description: str, labels: Mapping[str, str]) -> None: ...
    def set_owner(self, resource: Resource, owner: str) -> None: ...
    def page(
        self, kind: str, after: ResourceKey | None, limit: int, workspaces: Collection[str] | None
    ) -> Sequence[Resource]: ...  # workspaces None: all


class Versions(Protocol):
    """Versions of resources."""

    def next_number(self, resource: Resource) -> int: ...  # gapless under the lock
    def add(self, resource: Resource, version: Version, files: Sequence[FileEntry]) -> None: ...
    def files(self, resource: Resource, version: int) -> Sequence[FileEntry]: ...
    def referenced(self, digests: Collection[str]) -> frozenset[str]: ...  # those that a file of a version has
    def digests(self, after: str, limit: int) -> Sequence[str]: ...  # of files of versions, rising
    def with_file(self, kind: str, digest: str) -> Sequence[tuple[ResourceKey, int]]: ...  # oldest first
    def get(self, resource: Resource, version: int) -> Version: ...  # VersionNotFound
    def of_run(self, run_id: str) -> Sequence[tuple[ResourceKey, Version]]: ...  # 32 hexadecimal digits; oldest first
    def by_idempotency_key(self, resource: Resource, idempotency_key: str) -> Version | None: ...
    def by_digest(self, resource: Resource, digest: str) -> Version | None: ...
    def page(self, resource: Resource, after: int, limit: int, where: VersionFilter) -> Sequence[Version]: ...
    def set_stage(self, resource: Resource, version: int, stage: VersionStage, event_id: UUID) -> None: ...
    def set_labels(self, resource: Resource, version: int, semver: str | None, tags: Mapping[str, str]) -> None: ...


class Scans(Protocol):
    """The last scan of each version."""

    def get(self, resource: Resource, version: int) -> Scan | None: ...
    def save(self, resource: Resource, version: int, scan: Scan) -> None: ...
    def outdated(
        self, current_rules: Collection[str], limit: int
    ) -> Sequence[tuple[ResourceKey, int]]: ...  # live ones first


class Tensors(Protocol):
    """Digests of the largest tensors of each version."""

    def of(self, resource: Resource, version: int) -> Sequence[TensorDigest]: ...  # largest first; empty: not known
    def save(self, resource: Resource, version: int, tensors: Sequence[TensorDigest]) -> None: ...


class Resemblances(Protocol):
    """Versions of models that share the largest files or tensors of one; most shared bytes first."""

    def by_files(
        self, resource: Resource, version: int, workspaces: Collection[str] | None, limit: int
    ) -> Sequence[Shared]: ...
    def by_tensors(
        self, resource: Resource, version: int, workspaces: Collection[str] | None, limit: int
    ) -> Sequence[Shared]: ...


class Cards(Protocol):
    """Prose of cards, and cards as they were approved."""

    def newest(self, resource: Resource, version: int) -> CardRevision | None: ...
    def revisions(self, resource: Resource, version: int, limit: int) -> Sequence[CardRevision]: ...  # newest first
    def add(self, resource: Resource, version: int, made: CardRevision) -> None: ...
    def release(self, resource: Resource, version: int) -> CardRelease | None: ...
    def released(self, resource: Resource, version: int) -> bytes | None: ...  # canonical JSON of the card
    def freeze(
        self, resource: Resource, version: int, revision: int, card: bytes, digest: str, at: datetime
    ) -> None: ...


class Search(Protocol):
    """Reads over many resources."""

    def page(
        self, kind: str, where: ResourceFilter, sort: ResourceSort, after: ResourceKey | None, limit: int
    ) -> Sequence[Resource]: ...
    def summaries(self, resources: Sequence[Resource]) -> Mapping[int, VersionSummary]: ...  # by resource id
    def facets(self, kind: str, where: ResourceFilter, only: Collection[str] = ()) -> Facets:
        """Count by these facets, by all without one; the others are empty."""

    def versions_at(
        self,
        kind: str,
        stage: VersionStage,
        workspaces: Collection[str] | None,
        after: tuple[datetime, int, int] | None,
        limit: int,
    ) -> Sequence[StagedVersion]: ...  # newest first; after: created_at, resource id, version
    def by_digest(
        self, first: str, last: str, readable: Mapping[str, Collection[str] | None], limit: int
    ) -> Sequence[DigestMatch]: ...  # digests from first up to last, last not included; newest first
    def audit(self, scope: AuditScope, limit: int) -> AuditLines: ...  # newest first


class ModelSearch(Protocol):
    """Models and versions of one workspace, by conditions and in any order."""

    def models(
        self, workspace: str, where: Sequence[Comparison], order: Sequence[Order], token: str, limit: int
    ) -> tuple[Sequence[Resource], str | None]: ...  # by name without an order
    def versions(
        self, workspace: str, where: Sequence[Comparison], order: Sequence[Order], token: str, limit: int
    ) -> tuple[Sequence[tuple[ResourceKey, Version]], str | None]: ...  # newest model first, then newest version
    def newest(self, resources: Sequence[Resource]) -> Mapping[int, Version]: ...  # by resource id


class Catalogue(Protocol):
    """Models that need care."""

    def neglected(
        self, workspaces: Collection[str] | None, after: ResourceKey | None, limit: int
    ) -> Sequence[Neglected]: ...  # by workspace and name


class Signatures(Protocol):
    """Which signature a feature schema id stands for, per workspace."""

    def claim(self, workspace: str, schema_id: str, signature_digest: str) -> str: ...  # digest of the first claim


class Aliases(Protocol):
    """Names of versions."""

    def get(self, resource: Resource, alias: str) -> Alias | None: ...  # dropped ones too
    def all(self, resource: Resource) -> Sequence[Alias]: ...  # without dropped ones
    def of_many(self, resources: Sequence[Resource]) -> dict[int, dict[str, int]]: ...  # by resource id
    def save(self, resource: Resource, alias: Alias) -> None: ...


class Policies(Protocol):
    """Versioned policy documents."""

    def newest(self, resource: Resource, kind: str) -> Policy | None: ...
    def revisions(self, resource: Resource, kind: str, before: int, limit: int) -> Sequence[PolicyRevision]: ...
    def add(self, resource: Resource, policy: Policy, origin: Origin) -> None: ...


class History(Protocol):
    """The timeline of each resource."""

    def next_entry(self, resource: Resource, *, published: bool) -> tuple[int, int | None]: ...  # position, revision
    def append(self, resource: Resource, entry: Entry) -> None: ...
    def has_been(self, resource: Resource, version: int, stage: VersionStage) -> bool: ...
    def last_of(self, resource: Resource, version: int, change: str) -> Entry | None: ...  # newest line with the change
    def page(self, resource: Resource, after: int, limit: int) -> Sequence[Entry]: ...


class Rollouts(Protocol):
    """The newest known state of each rollout."""

    def get(self, rollout_id: UUID) -> RolloutSeen | None: ...
    def save(self, seen: RolloutSeen) -> None: ...
    def last_settled(self, model: str, but: UUID) -> datetime | None: ...  # when another rollout last moved traffic


class Keys(Protocol):
    """API keys."""

    def add(self, key: ApiKey) -> None: ...
    def get(self, key_id: str) -> ApiKey | None: ...
    def all(self) -> Sequence[ApiKey]: ...  # oldest first
    def revoke(self, key_id: str, at: datetime) -> None: ...
    def expire(self, key_id: str, at: datetime | None) -> None: ...  # None: never
    def set_hash(self, key_id: str, secret_id: str, secret_hash: str) -> None: ...


class Schemas(Protocol):
    """Avro schemas."""

    def lock(self) -> None: ...  # other registrations wait for our end
    def next_id(self) -> int: ...
    def add(self, schema_id: int, schema: AvroSchema, at: datetime) -> None: ...
    def text(self, schema_id: int) -> str | None: ...
    def id_of(self, identity: str) -> int | None: ...  # the lowest
    def by_fingerprint(self, hexadecimal: str) -> tuple[int, str] | None: ...


class Subjects(Protocol):
    """Versions and compatibility levels of schema subjects."""

    def names(self, *, deleted: bool) -> Sequence[str]: ...
    def versions(self, subject: str, *, deleted: bool) -> Sequence[SubjectVersion]: ...  # oldest first
    def uses(self, schema_id: int, *, deleted: bool) -> Sequence[SubjectVersion]: ...
    def add_version(self, version: SubjectVersion) -> None: ...
    def mark_deleted(self, subject: str, version: int) -> None: ...
    def remove(self, subject: str, version: int) -> None: ...
    def level(self, subject: str) -> str | None: ...
    def set_level(self, subject: str, level: str | None) -> None: ...


class Records(Protocol):
    """The tables on one connection. Outside of a transaction only the reads may be used."""

    @property
    def resources(self) -> Resources: ...
    @property
    def versions(self) -> Versions: ...
    @property
    def scans(self) -> Scans: ...
    @property
    def tensors(self) -> Tensors: ...
    @property
    def resemblances(self) -> Resemblances: ...
    @property
    def cards(self) -> Cards: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def search(self) -> Search: ...
    @property
    def model_search(self) -> ModelSearch: ...
    @property
    def signatures(self) -> Signatures: ...
    @property
    def aliases(self) -> Aliases: ...
    @property
    def policies(self) -> Policies: ...
    @property
    def history(self) -> History: ...
    @property
    def lineage(self) -> Lineage: ...
    @property
    def connections(self) -> Connections: ...
    @property
    def rollouts(self) -> Rollouts: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def schemas(self) -> Schemas: ...
    @property
    def subjects(self) -> Subjects: ...
    @property
    def experiments(self) -> Experiments: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def logged_models(self) -> LoggedModels: ...
    @property
    def run_artifacts(self) -> RunArtifacts: ...


class Unit(Records, Protocol):
    """One transaction: writes, claims and queued events commit together."""

    def claim(self, event_id: UUID) -> bool: ...  # True exactly once
    def queue(self, event: Message, key: str) -> None: ...
    def record_change(self, key: ResourceKey) -> None: ...  # for those who follow /v1/changes


class Storage(Protocol):
    """Access to the tables. Blocks."""

    def transaction(self) -> AbstractContextManager[Unit]: ...
    def read(self) -> AbstractContextManager[Records]: ...


class Upload(Protocol):
    """A blob that is being received. Blocks."""

    def write(self, chunk: bytes) -> None: ...
    def finish(self) -> bool: ...  # verified and stored; True when it is new; WrongDigest stores nothing
    def abandon(self) -> None: ...  # removes what was written; does nothing after finish


@dataclass(frozen=True)
class StoredBlob:
    """One blob as a listing shows it."""

    digest: str
    size_bytes: int
    stored_at: datetime


class Intake(Protocol):
    """A blob whose digest is known only after its last byte. Blocks."""

    def write(self, chunk: bytes) -> None: ...
    def finish(self) -> tuple[str, int]: ...  # digest and size; stored
    def abandon(self) -> None: ...  # removes what was written; does nothing after finish


class Blobs(Protocol):
    """Bytes by their digest. Blocks. Unavailable while the store does not answer."""

    def upload(self, digest: str) -> Upload: ...
    def put(self, digest: str, chunks: Iterable[bytes]) -> bool: ...  # a whole blob; True when it is new
    def intake(self) -> Intake: ...
    def read(self, digest: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]: ...  # BlobNotFound
    def size(self, digest: str) -> int | None: ...  # None when it is missing
    def sound(self, digest: str) -> bool: ...  # present, and its bytes have the digest
    def laid_out(self, files: Sequence[FileEntry]) -> AbstractContextManager[Path]: ...  # by path; BlobNotFound
    def stored(self) -> Iterator[StoredBlob]: ...
    def trashed(self) -> Iterator[StoredBlob]: ...
    def trash(self, digest: str) -> None: ...  # counts as missing from then on
    def restore(self, digest: str) -> None: ...  # does nothing when it is there
    def discard(self, digest: str) -> None: ...  # of one that was put aside


class Scanner(Protocol):
    """Checks files by rules that live in the platform. Blocks; findings are never exceptions."""

    @property
    def rules_version(self) -> str: ...
    def current_rules(self) -> Collection[str]: ...  # that reports have today, with and without dependencies
    def scan(self, folder: Path) -> ScanReport: ...  # a crash or a limit is the verdict `incomplete`
    def tensors(self, folder: Path) -> Sequence[TensorDigest]: ...  # of a folder that passed; empty when unreadable


@dataclass(frozen=True)
class Described:
    """Manifest of a model that MLflow saved, without the name of the model, and the bytes of its example file."""

    manifest: Mapping[str, Any]
    example: bytes


class Describer(Protocol):
    """Describes models by their files. Blocks. Invalid names what is missing and the remedy."""

    def describe(self, folder: Path) -> Described: ...


@dataclass(frozen=True)
class Deps:
    """Everything that a use case is given."""

    storage: Storage
    blobs: Blobs
    clock: Clock
    hash_secrets: HashSecrets
    """Secrets that API keys are hashed with."""
    admin_fingerprint: bytes
    """SHA-256 of the admin key, which is accepted without a row in the table of keys."""
    scanner: Scanner
    describer: Describer
