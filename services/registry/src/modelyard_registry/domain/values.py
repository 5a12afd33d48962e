"""Values that the registry stores."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from modelyard_contracts import VersionStage
from modelyard_contracts.admission import ScanReport
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
    framework: str | None = None
    """That wrote the files, without its version, where the manifest names it."""
    license: str | None = None
    source_kind: str | None = None
    """None: made by a training run."""
    scan_verdict: str | None = None
    """Of the last scan; None before the first one."""
    scan_rules: str | None = None
    """Version of the rules of the last scan."""
    card_digest: str | None = None
    """Of the card at the first approval; None before it."""
    labels_revision: int = 0
    """Changes of the tags and of the semver label after the registration."""


@dataclass(frozen=True)
class Scan:
    """The last scan of a version."""

    report: ScanReport
    scanned_at: datetime


@dataclass(frozen=True)
class LineageFilter:
    """What a version was made from; None does not filter.

    dataset: digest of its data. base_model: as its manifest states it, or a model that is registered here as `model`,
    `model@3` or by digest. run: id of the training run.
    """

    dataset: str | None = None
    base_model: str | None = None
    run: str | None = None


NO_LINEAGE: Final = LineageFilter()


@dataclass(frozen=True)
class VersionFilter:
    """Conditions of a search; None does not filter. tag: a name and the value it must have."""

    stage: VersionStage | None = None
    task: str | None = None
    semver: str | None = None
    tag: tuple[str, str] | None = None
    lineage: LineageFilter = NO_LINEAGE


TRAINED: Final = "trained"
"""Source of versions that training runs of the platform made."""


@dataclass(frozen=True)
class MetricBound:
    """A metric of training and a bound that it must meet."""

    name: str
    at_least: bool
    """False: at most."""
    value: float


@dataclass(frozen=True)
class ResourceFilter:
    """Conditions of a search over resources of one kind; None does not filter.

    q: part of the name, the description, the owner, the labels, the prose of a card, or the tags of the champion, in
    any case. stage, lineage: at least one version has it. label: a name and its value. From `flavour` on: of the
    champion, or of the newest version when there is none.
    """

    workspaces: Collection[str] | None = None
    q: str | None = None
    owner: str | None = None
    label: tuple[str, str] | None = None
    lineage: LineageFilter = NO_LINEAGE
    stage: VersionStage | None = None
    alias: str | None = None
    flavour: str | None = None
    task: str | None = None
    framework: str | None = None
    license: str | None = None
    source: str | None = None
    """`files`, `mlflow`, `hub`, or TRAINED."""
    scan_verdict: str | None = None
    metric: MetricBound | None = None

    @property
    def needs_shown(self) -> bool:
        """A condition is on the shown version."""
        shown = (self.flavour, self.task, self.framework, self.license, self.source, self.scan_verdict, self.metric)
        return bool(self.q) or any(one is not None for one in shown)


class ResourceSort(StrEnum):
    """Orders of a list of resources."""

    NAME = "name"
    NEWEST = "newest"
    VERSIONS = "versions"
    """Most versions first."""


@dataclass(frozen=True)
class VersionSummary:
    """Figures of a resource's versions, for lists."""

    champion: int | None = None
    stages: Mapping[str, int] = field(default_factory=dict)
    """Stage to number of versions."""
    flavour: str | None = None
    """Of the champion, or of the newest version when there is none."""
    task: str | None = None


@dataclass(frozen=True)
class Facets:
    """Resources by property: value to number of resources, most frequent first."""

    owner: Mapping[str, int]
    workspace: Mapping[str, int]
    stage: Mapping[str, int]
    """Resources that have a version in the stage."""
    flavour: Mapping[str, int]
    """From here on, of the champion, or of the newest version when there is none."""
    task: Mapping[str, int]
    framework: Mapping[str, int]
    license: Mapping[str, int]
    source: Mapping[str, int]
    scan_verdict: Mapping[str, int]


@dataclass(frozen=True)
class Neglected:
    """A model that is incomplete, unused or a duplicate."""

    key: ResourceKey
    no_owner: bool
    no_card: bool
    """No version has prose."""
    never_live: bool
    """No rollout ever gave a version traffic."""
    duplicate: bool
    """Most bytes of the champion, or of the newest version, are files of another model's version."""


@dataclass(frozen=True)
class StagedVersion:
    """A version of any resource at one stage, without its manifest."""

    resource_id: int
    key: "ResourceKey"
    version: int
    digest: str
    stage: VersionStage
    semver: str | None
    flavour: str
    task: str | None
    run_id: str | None
    metrics: Mapping[str, float]
    created_at: datetime
    created_by: str
    correlation_id: UUID
    stage_since: datetime | None = None
    stage_reason: str = ""
    """Why it reached the stage."""


@dataclass(frozen=True)
class DigestMatch:
    """A version whose manifest, or one of whose files, has a digest."""

    version: StagedVersion
    path: str | None
    """The file with the digest; None for the manifest."""


@dataclass(frozen=True)
class Shared:
    """Files or tensors that a version shares with another one."""

    key: "ResourceKey"
    version: int
    digest: str
    count: int
    size_bytes: int


@dataclass(frozen=True)
class AuditScope:
    """Which lines of all histories to read; None and '' do not filter.

    readable: kind of resource to the workspaces whose history may be read, None for all. key_workspaces: those whose
    key changes may be read.
    """

    readable: Mapping[str, Collection[str] | None]
    key_workspaces: Collection[str] | None
    key: "ResourceKey | None" = None
    actor: str = ""
    action: str = ""
    q: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, int, int] | None = None
    """Moment of recording, resource number and position: only older lines."""


@dataclass(frozen=True)
class AuditLines:
    """One page of the audit list. before: of the next page; the page may be short, as a search ends after a time."""

    entries: Sequence["AuditEntry"]
    before: tuple[datetime, int, int] | None


@dataclass(frozen=True)
class AuditEntry:
    """One line of the history of some resource."""

    resource_id: int
    key: "ResourceKey"
    entry: "Entry"


@dataclass(frozen=True)
class PolicyRevision:
    """One revision of a policy, and who set it, when and why."""

    kind: str
    revision: int
    document: Mapping[str, Any]
    actor: str
    reason: str
    set_at: datetime


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
