"""Changes in the registry."""

from enum import StrEnum
from typing import ClassVar

from modelyard_contracts.messages.base import ControlMessage, Field
from modelyard_contracts.numbers import Count, VersionNumber
from modelyard_contracts.references import Kind


class VersionStage(StrEnum):
    """Stage of a version; services/registry holds the table of legal moves."""

    PENDING = "pending"
    REGISTERED = "registered"
    EVALUATED = "evaluated"
    APPROVED = "approved"
    LIVE = "live"
    REJECTED = "rejected"
    RETIRED = "retired"


class ResourceChange(StrEnum):
    """Kind of a change in the registry."""

    CREATED = "created"
    VERSION_REGISTERED = "version_registered"
    VERSION_MOVED = "version_moved"
    ALIAS_MOVED = "alias_moved"
    POLICY_CHANGED = "policy_changed"
    TAGS_CHANGED = "tags_changed"


class ConnectionChange(StrEnum):
    """Kind of a change of a connection."""

    CREATED = "created"
    REPLACED = "replaced"
    DELETED = "deleted"


class ConnectionChanged(ControlMessage):
    """A connection to a provider changed; readers that keep one read it again.

    It names the connection and nothing of its content: endpoints and names of secrets stay in the registry. `model`
    is the key, `connection/<reference>`; `connection` is the reference.
    """

    TOPIC: ClassVar[str] = "registry.connection.changed.v1"

    connection: str
    revision: Count
    change: ConnectionChange
    actor: str
    reason: str = ""


class ResourceChanged(ControlMessage):
    """One fact about one resource, in total order by a gapless `revision`; `aliases` is a snapshot after the change.

    `model` is the key: the reference of a model, and `<kind>/<reference>` for resources of other kinds.
    """

    TOPIC: ClassVar[str] = "registry.resource.changed.v1"

    kind: str = Kind.MODEL.value
    name: str = ""
    revision: Count
    change: ResourceChange
    version: VersionNumber | None = None
    digest: str | None = None
    semver: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    stage: VersionStage | None = None
    previous_stage: VersionStage | None = None
    alias: str | None = None
    alias_generation: Count | None = None
    policy: str | None = None
    actor: str
    reason: str = ""
    aliases: dict[str, VersionNumber] = Field(default_factory=dict)
    """Alias to version, after this change."""

    @property
    def about_model(self) -> bool:
        """False for datasets, prompts and kinds of newer releases, which the loop ignores."""
        return self.kind == Kind.MODEL
