"""What comes in and goes out as JSON."""

import json
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from modelyard_contracts import VersionStage
from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.messages import UtcDatetime
from modelyard_registry.domain.names import DIGEST, MODEL_NAME
from modelyard_registry.domain.values import Alias, ApiKey, Dataset, Entry, Model, Version
from modelyard_runtime.auth import MAX_TOKEN_CHARS

MAX_INT: int = 2**53
MAX_DEPTH: int = 32
"""Of a document that we only keep."""
ItemT = TypeVar("ItemT")


def _no_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("a text may not hold the character NUL")
    return text


def _storable(document: dict[str, Any]) -> dict[str, Any]:
    """What every database and every reader takes: of finite numbers and whole characters, not nested for ever."""
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        level = [inner for value in level for inner in _inside(value)]
    if level:
        raise ValueError(f"nested deeper than {MAX_DEPTH}; flatten it")
    try:
        json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:  # of encoding, too
        raise ValueError("holds NaN, infinity or half a character (a lone surrogate); leave it out") from error
    return document


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


Document = Annotated[dict[str, Any], AfterValidator(_storable)]
Text = Annotated[str, Field(max_length=4_000), AfterValidator(_no_nul)]
Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_no_nul)]
Reason = Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_no_nul)]
ModelName = Annotated[str, Path(max_length=128)]
VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=1_000)]
After = Annotated[int, Query(ge=0, le=MAX_INT)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class NewModel(Body):
    name: Annotated[str, Field(pattern=MODEL_NAME)]
    description: Text = ""
    owner: Text = ""
    labels: dict[Line, Text] = Field(default_factory=dict)


class NewVersion(Body):
    manifest: ModelManifest
    idempotency_key: Line
    correlation_id: UUID | None = None
    cause_id: UUID | None = None
    actor: Line | None = None


class Decision(Body):
    reason: Reason
    actor: Line | None = None


class AliasMove(Body):
    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
    expected_generation: Annotated[int, Field(ge=0, le=MAX_INT)]
    reason: Reason
    actor: Line | None = None


class NewPolicy(Body):
    document: Document
    expected_revision: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    reason: Text = ""
    actor: Line | None = None


class NewDataset(Body):
    digest: Annotated[str, Field(pattern=DIGEST)]
    name: Line
    model: Line | None = None
    format: Annotated[str, Field(pattern="^parquet$")] = "parquet"
    rows: Annotated[int, Field(ge=0, le=MAX_INT)]
    size_bytes: Annotated[int, Field(ge=0, le=MAX_INT)]
    columns: dict[Line, Line]
    source: Document = Field(default_factory=dict)


class NewKey(Body):
    name: Line
    scopes: Annotated[tuple[Line, ...], Field(min_length=1, max_length=20)]
    expires_at: UtcDatetime | None = None


class Introspection(Body):
    key: Annotated[str, Field(max_length=MAX_TOKEN_CHARS)]


class Page(BaseModel, Generic[ItemT]):
    """`next_after` is the cursor of the next page, None on the last one."""

    items: list[ItemT]
    next_after: int | str | None = None


class ModelOut(BaseModel):
    name: str
    description: str
    owner: str
    labels: dict[str, str]
    revision: int
    latest_version: int
    aliases: dict[str, int]
    created_at: datetime

    @classmethod
    def of(cls, model: Model, aliases: dict[str, int]) -> "ModelOut":
        return cls(
            name=model.name,
            description=model.description,
            owner=model.owner,
            labels=model.labels,
            revision=model.revision,
            latest_version=model.last_version,
            aliases=aliases,
            created_at=model.created_at,
        )


class VersionOut(BaseModel):
    model: str
    version: int
    digest: str
    stage: VersionStage
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
    def of(cls, version: Version, aliases: tuple[str, ...] = (), missing: tuple[str, ...] = ()) -> "VersionOut":
        return cls(
            model=version.model,
            version=version.version,
            digest=version.digest,
            stage=version.stage,
            flavour=version.flavour,
            feature_schema_id=version.feature_schema_id,
            created_at=version.created_at,
            created_by=version.created_by,
            run_id=version.run_id,
            correlation_id=version.correlation_id,
            metrics=version.metrics,
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


class DatasetOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

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

    @classmethod
    def of(cls, dataset: Dataset) -> "DatasetOut":
        return cls.model_validate(dataset)


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
    model_config = ConfigDict(from_attributes=True)

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    key: str | None = None

    @classmethod
    def of(cls, key: ApiKey, secret: str | None = None) -> "KeyOut":
        return cls.model_validate(key).model_copy(update={"key": secret})
