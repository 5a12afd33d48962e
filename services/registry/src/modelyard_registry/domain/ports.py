"""Ports of the use cases: tables by aggregate, blobs, time, secrets."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from modelyard_contracts import Message, VersionStage
from modelyard_contracts.manifest import FileEntry
from modelyard_registry.domain.avro import AvroSchema
from modelyard_registry.domain.key_hashes import HashSecrets
from modelyard_registry.domain.values import (
    Alias,
    ApiKey,
    Entry,
    NewResource,
    Origin,
    Policy,
    Resource,
    ResourceKey,
    RolloutSeen,
    SubjectVersion,
    Version,
    VersionFilter,
)
from modelyard_runtime.clock import Clock


class Resources(Protocol):
    """Models, datasets, prompts and workspaces."""

    def add(self, resource: NewResource, origin: Origin) -> bool: ...  # False when the name is taken
    def get(self, key: ResourceKey) -> Resource: ...  # ResourceNotFound
    def lock(self, key: ResourceKey) -> Resource: ...  # ResourceNotFound; others that lock it wait for our end
    def page(
        self, kind: str, after: ResourceKey | None, limit: int, workspaces: Collection[str] | None
    ) -> Sequence[Resource]: ...  # workspaces None: all


class Versions(Protocol):
    """Versions of resources."""

    def next_number(self, resource: Resource) -> int: ...  # gapless under the lock
    def add(self, resource: Resource, version: Version, files: Sequence[FileEntry]) -> None: ...
    def files(self, resource: Resource, version: int) -> Sequence[FileEntry]: ...
    def with_file(self, kind: str, digest: str) -> Sequence[tuple[ResourceKey, int]]: ...  # oldest first
    def get(self, resource: Resource, version: int) -> Version: ...  # VersionNotFound
    def by_idempotency_key(self, resource: Resource, idempotency_key: str) -> Version | None: ...
    def by_digest(self, resource: Resource, digest: str) -> Version | None: ...
    def page(self, resource: Resource, after: int, limit: int, where: VersionFilter) -> Sequence[Version]: ...
    def set_stage(self, resource: Resource, version: int, stage: VersionStage, event_id: UUID) -> None: ...
    def set_labels(self, resource: Resource, version: int, semver: str | None, tags: Mapping[str, str]) -> None: ...


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
    def add(self, resource: Resource, policy: Policy, origin: Origin) -> None: ...


class History(Protocol):
    """The timeline of each resource."""

    def next_entry(self, resource: Resource, *, published: bool) -> tuple[int, int | None]: ...  # position, revision
    def append(self, resource: Resource, entry: Entry) -> None: ...
    def has_been(self, resource: Resource, version: int, stage: VersionStage) -> bool: ...
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
    def signatures(self) -> Signatures: ...
    @property
    def aliases(self) -> Aliases: ...
    @property
    def policies(self) -> Policies: ...
    @property
    def history(self) -> History: ...
    @property
    def rollouts(self) -> Rollouts: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def schemas(self) -> Schemas: ...
    @property
    def subjects(self) -> Subjects: ...


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


class Blobs(Protocol):
    """Bytes by their digest. Blocks."""

    def upload(self, digest: str) -> Upload: ...
    def open(self, digest: str) -> tuple[Path, int]: ...  # file and its size in bytes; BlobNotFound
    def size(self, digest: str) -> int | None: ...  # None when it is missing
    def sound(self, digest: str) -> bool: ...  # present, and its bytes have the digest


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
