"""What the registry needs of the world."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from modelyard_contracts import Message, VersionStage
from modelyard_registry.domain.avro import AvroSchema
from modelyard_registry.domain.values import (
    Alias,
    ApiKey,
    Dataset,
    Entry,
    Model,
    Policy,
    RolloutSeen,
    SubjectVersion,
    Version,
)
from modelyard_runtime.clock import Clock


class Records(Protocol):
    """The tables within one transaction. Reading works on its own connection too; then only the reads may be used."""

    def add_model(self, model: Model) -> bool: ...  # False when the name is taken
    def model(self, name: str) -> Model: ...  # ModelNotFound
    def lock_model(self, name: str) -> Model: ...  # ModelNotFound; others that lock it wait for our end
    def models(self, after: str, limit: int) -> Sequence[Model]: ...

    def next_version(self, model: str) -> int: ...  # gapless under the lock
    def add_version(self, version: Version) -> None: ...
    def version(self, model: str, version: int) -> Version: ...  # VersionNotFound
    def version_by_key(self, model: str, idempotency_key: str) -> Version | None: ...
    def version_by_digest(self, model: str, digest: str) -> Version | None: ...
    def versions(self, model: str, after: int, limit: int, stage: VersionStage | None = None) -> Sequence[Version]: ...
    def versions_at(self, model: str, stage: VersionStage) -> Sequence[Version]: ...
    def move(self, model: str, version: int, stage: VersionStage, event_id: UUID) -> None: ...

    def alias(self, model: str, alias: str) -> Alias | None: ...  # also one that points nowhere
    def aliases(self, model: str) -> Sequence[Alias]: ...  # those that point somewhere
    def aliases_of_all(self, models: Sequence[str]) -> dict[str, dict[str, int]]: ...
    def save_alias(self, model: str, alias: Alias) -> None: ...

    def policy(self, model: str, kind: str) -> Policy | None: ...
    def add_policy(self, model: str, policy: Policy, actor: str, at: datetime) -> None: ...

    def add_dataset(self, dataset: Dataset) -> bool: ...
    def dataset(self, digest: str) -> Dataset: ...  # DatasetNotFound

    def next_entry(self, model: str, *, told: bool) -> tuple[int, int | None]: ...  # position, revision; both gapless
    def append(self, entry: Entry) -> None: ...
    def has_been(self, model: str, version: int, stage: VersionStage) -> bool: ...
    def history(self, model: str, after: int, limit: int) -> Sequence[Entry]: ...

    def rollout(self, rollout_id: UUID) -> RolloutSeen | None: ...
    def save_rollout(self, seen: RolloutSeen) -> None: ...
    def last_settled(self, model: str, but: UUID) -> datetime | None: ...  # when another rollout last moved traffic

    def add_key(self, key: ApiKey) -> None: ...
    def key(self, key_id: str) -> ApiKey | None: ...
    def all_keys(self) -> Sequence[ApiKey]: ...
    def revoke_key(self, key_id: str, at: datetime) -> None: ...


class Schemas(Protocol):
    """The Avro schemas within one transaction, or on a connection for reading."""

    def lock(self) -> None: ...  # others that register wait for our end
    def next_id(self) -> int: ...
    def add(self, schema_id: int, schema: AvroSchema, at: datetime) -> None: ...
    def text(self, schema_id: int) -> str | None: ...
    def id_of(self, identity: str) -> int | None: ...  # the lowest
    def by_fingerprint(self, hexadecimal: str) -> tuple[int, str] | None: ...

    def subjects(self, *, deleted: bool) -> Sequence[str]: ...
    def versions(self, subject: str, *, deleted: bool) -> Sequence[SubjectVersion]: ...  # oldest first
    def uses(self, schema_id: int, *, deleted: bool) -> Sequence[SubjectVersion]: ...
    def add_version(self, version: SubjectVersion) -> None: ...
    def mark_deleted(self, subject: str, version: int) -> None: ...
    def remove(self, subject: str, version: int) -> None: ...

    def level(self, subject: str) -> str | None: ...
    def set_level(self, subject: str, level: str | None) -> None: ...


class Unit(Protocol):
    """One transaction: what is written, claimed and queued in it commits together."""

    @property
    def records(self) -> Records: ...
    @property
    def schemas(self) -> Schemas: ...
    def claim(self, event_id: UUID) -> bool: ...  # True exactly once
    def queue(self, event: Message, key: str) -> None: ...


class Storage(Protocol):
    """Where the tables are. Blocks."""

    def transaction(self) -> AbstractContextManager[Unit]: ...
    def read(self) -> AbstractContextManager[Records]: ...
    def read_schemas(self) -> AbstractContextManager[Schemas]: ...


class Upload(Protocol):
    """One blob on its way. Blocks."""

    def write(self, chunk: bytes) -> None: ...
    def finish(self) -> bool: ...  # verified and kept; True when it is new; WrongDigest keeps nothing
    def abandon(self) -> None: ...  # nothing of it stays; does nothing after finish


class Blobs(Protocol):
    """Bytes by their digest. Blocks."""

    def upload(self, digest: str) -> Upload: ...
    def open(self, digest: str) -> tuple[Path, int]: ...  # where they are and how many; BlobNotFound

    def size(self, digest: str) -> int | None: ...  # None when it is not there
    def sound(self, digest: str) -> bool: ...  # there, and its bytes have the digest


@dataclass(frozen=True)
class Deps:
    """What a use case is handed."""

    storage: Storage
    blobs: Blobs
    clock: Clock
    key_secret: bytes
    """What API keys are hashed with."""
