"""Answers of the registry, as frozen values; fields of a newer release are ignored."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from modelyard_contracts import VersionStage
from modelyard_contracts.admission import ScanReport, ScanVerdict


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
    workspace: str = ""
    created_by: str = ""


class ListedModel(ModelInfo):
    """A model in a list, with figures of its versions."""

    champion_version: int | None = None
    newest_version: int | None = None
    versions: int = 0
    stages: dict[str, int] = {}
    """Stage to number of versions."""
    flavour: str | None = None
    """Of the champion, or of the newest version when there is none."""
    task: str | None = None


class ModelPage(Record):
    """One page of a list of models."""

    items: tuple[ListedModel, ...]
    next_after: str | None = None
    """Pass it as `after` for the next page; None on the last one."""


class ModelFacets(Record):
    """Numbers of models by property: value to number, most frequent first."""

    owner: dict[str, int] = {}
    workspace: dict[str, int] = {}
    stage: dict[str, int] = {}
    """Models that have a version in the stage."""
    flavour: dict[str, int] = {}
    """From here on, of the champion, or of the newest version when there is none."""
    task: dict[str, int] = {}
    framework: dict[str, int] = {}
    license: dict[str, int] = {}
    source: dict[str, int] = {}
    scan_verdict: dict[str, int] = {}


class StagedVersion(Record):
    """A version of any model at one stage."""

    model: str
    kind: str = "model"
    version: int
    digest: str
    stage: VersionStage
    stage_since: datetime | None = None
    stage_reason: str = ""
    semver: str | None = None
    flavour: str = ""
    task: str | None = None
    run_id: str | None = None
    metrics: dict[str, float] = {}
    created_at: datetime
    created_by: str
    correlation_id: str


class DigestMatch(StagedVersion):
    """A version whose manifest, or one of whose files, has a digest."""

    file: str | None = None
    """Path of the file; None when the digest is that of the version."""


class NeglectedModel(Record):
    """A model that needs care."""

    model: str
    no_owner: bool = False
    no_card: bool = False
    """No version has prose."""
    never_live: bool = False
    """No rollout gave a version traffic."""
    duplicate: bool = False
    """Most of its bytes are files of another model."""


class NeglectedPage(Record):
    """Models that need care, by name."""

    items: tuple[NeglectedModel, ...]
    next_after: str | None = None


class WorkspaceInfo(Record):
    """A workspace."""

    name: str
    description: str = ""
    owner: str = ""
    created_at: datetime
    created_by: str = ""


class StagedVersionPage(Record):
    """One page of versions, newest first."""

    items: tuple[StagedVersion, ...]
    next_after: str | None = None


class Me(Record):
    """The holder of the calling key."""

    identity: str
    kind: str
    roles: dict[str, tuple[str, ...]] = {}
    """Workspace, or `*` for all of them, to roles."""
    scopes: tuple[str, ...] | None = None
    """Narrow the roles; None does not."""
    expires_at: datetime | None = None


class PolicyRevision(Record):
    """One revision of a policy."""

    kind: str
    revision: int
    document: dict[str, Any]
    actor: str
    reason: str = ""
    set_at: datetime


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
    framework: str | None = None
    license: str | None = None
    source_kind: str | None = None
    """None: made by a training run of the platform."""
    scan_verdict: ScanVerdict | None = None
    """Of the last scan; None before the first one."""
    scan_rules: str | None = None
    card_digest: str | None = None
    """SHA-256 of the card at the first approval; None before it."""
    labels_revision: int = 0
    """Changes of the tags and of the semver label; `expected_revision` of the next change."""
    resembles: tuple[str, ...] = ()
    """Versions that share files or tensors, in words; not filled in lists."""
    missing_blobs: tuple[str, ...] = ()
    """Filled while the version is pending: upload these, then finalize."""


class ScanInfo(Record):
    """The last scan of a version."""

    report: ScanReport
    scanned_at: datetime
    current: bool
    """The rules of the scan are those of today."""


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


class AuditEntry(HistoryEntry):
    """One line of the history of any resource. `change` is the action."""

    kind: str
    resource: str
    """The reference, or the name of a workspace."""
    workspace: str
    recorded_at: datetime


class AuditPage(Record):
    """One page of changes, newest first."""

    items: tuple[AuditEntry, ...]
    next_after: str | None = None


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


class BlobSum(Record):
    count: int
    size_bytes: int


class StoredBlob(Record):
    digest: str
    size_bytes: int
    stored_at: datetime


class BlobCollection(Record):
    """What a collection of unused blobs did, or would do."""

    applied: bool
    unused: BlobSum
    """Put aside: they count as missing, and come back when a version needs them."""
    deleted: BlobSum
    """Put aside by an earlier collection."""
    restored: BlobSum
    examples: tuple[StoredBlob, ...] = ()


class BlobCheck(Record):
    """One page of a check of all blobs that versions have."""

    checked: int
    unusable: tuple[str, ...]
    next_after: str | None = None


class ExperimentInfo(Record):
    id: int
    workspace: str
    name: str
    lifecycle: str
    """`active` or `deleted`."""
    tags: dict[str, str] = {}
    runs: int = 0
    """Runs that are not deleted."""
    created_at: datetime
    updated_at: datetime
    created_by: str = ""


class MetricValue(Record):
    step: int
    at: datetime
    value: float | None
    """None for NaN and infinity, which `text` names."""
    text: str


class ExperimentRun(Record):
    id: str
    experiment_id: int
    name: str
    user: str = ""
    """As the client of the run states it."""
    status: str
    """`RUNNING`, `SCHEDULED`, `FINISHED`, `FAILED` or `KILLED`."""
    lifecycle: str = "active"
    started_at: datetime
    ended_at: datetime | None = None
    created_by: str = ""
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: dict[str, MetricValue] = {}
    """The latest value of each."""
    model: str | None = None
    """Of a training run of the platform."""
    version: int | None = None


class ExperimentPage(Record):
    """One page of a list of experiments."""

    items: tuple[ExperimentInfo, ...]
    next_after: str | None = None
    """Pass it as `after` for the next page; None on the last one."""


class ExperimentRunPage(Record):
    items: tuple[ExperimentRun, ...]
    next_after: str | None = None


class LoggedModelInfo(Record):
    id: str
    name: str
    status: str
    model_type: str = ""
    created_at: datetime


class RunVersion(Record):
    """A version that was registered from a run."""

    model: str
    version: int
    stage: str


class RunDetail(ExperimentRun):
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    logged_models: tuple[LoggedModelInfo, ...] = ()
    versions: tuple[RunVersion, ...] = ()


class ArtifactInfo(Record):
    path: str
    size_bytes: int | None
    """None for a folder."""
