"""What changed in the registry."""

from enum import StrEnum
from typing import ClassVar

from modelyard_contracts.messages.base import ControlMessage, Field


class VersionStage(StrEnum):
    """Where a model version is in its life; services/registry holds the table of legal moves."""

    PENDING = "pending"
    REGISTERED = "registered"
    EVALUATED = "evaluated"
    APPROVED = "approved"
    LIVE = "live"
    REJECTED = "rejected"
    RETIRED = "retired"


class ModelChange(StrEnum):
    """What kind of fact a ModelChanged tells."""

    MODEL_CREATED = "model_created"
    VERSION_REGISTERED = "version_registered"
    VERSION_MOVED = "version_moved"
    ALIAS_MOVED = "alias_moved"
    POLICY_CHANGED = "policy_changed"


class ModelChanged(ControlMessage):
    """One fact about one model, in total order by a gapless `revision`; the aliases after it are a snapshot."""

    TOPIC: ClassVar[str] = "registry.model.changed.v1"

    revision: int
    change: ModelChange
    version: int | None = None
    digest: str | None = None
    stage: VersionStage | None = None
    previous_stage: VersionStage | None = None
    alias: str | None = None
    alias_generation: int | None = None
    policy: str | None = None
    actor: str
    reason: str = ""
    aliases: dict[str, int] = Field(default_factory=dict)
    """Alias to version, after this change."""
