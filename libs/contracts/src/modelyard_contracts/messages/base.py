"""Base classes of all messages."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID, uuid4, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from modelyard_contracts.references import DEFAULT_WORKSPACE, workspace_of

NAMESPACE = UUID("6f1d4a52-6d5c-5f0e-9d0a-4d6f64656c79")
"""Names of events that must get the same id on every replay are hashed below this one (RFC 9562, version 5)."""

FIRST_YEAR, LAST_YEAR = 1000, 9000
"""Range of a moment: any duration of a policy can be added or subtracted without an overflow."""


def _to_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a moment needs its zone, such as 2026-01-31T12:00:00Z")
    if not FIRST_YEAR <= value.year < LAST_YEAR:
        raise ValueError(f"a moment outside of the years {FIRST_YEAR} to {LAST_YEAR}")
    return value.astimezone(UTC)


UtcDatetime = Annotated[datetime, AfterValidator(_to_utc)]
"""A moment with a zone, kept in UTC; microseconds on the wire."""


MAX_NAME_CHARS = 256
Name = Annotated[str, Field(max_length=MAX_NAME_CHARS)]
"""Name of a model, route or router: a key of Kafka, and part of file names and URLs."""


class Part(BaseModel):
    """A record inside a message."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_alias=True, validate_by_name=True)


class Message(Part):
    """An event: a fact about one aggregate, in the past, never changed afterwards."""

    TOPIC: ClassVar[str]

    event_id: UUID
    """Readers drop repeats by it."""
    occurred_at: UtcDatetime

    @property
    def key(self) -> str:
        """The partition key: facts with one key are seen in order."""
        raise NotImplementedError


def fill_workspace(data: Any) -> Any:
    """Validator of events about a model: the workspace is part of the model's reference."""
    if isinstance(data, dict) and "workspace" not in data and isinstance(data.get("model"), str):
        return {**data, "workspace": workspace_of(data["model"])}
    return data


class ControlMessage(Message):
    """An event of the loop; it names its timeline and the event that caused it."""

    correlation_id: UUID
    """One value from the drift event to the promotion."""
    cause_id: UUID | None = None
    """The event before; None when a person or a clock started the timeline."""
    model: Name
    """Reference of the model: `name` or `workspace:name`."""
    workspace: Name = DEFAULT_WORKSPACE
    """Filled from `model`."""

    _fill_workspace = model_validator(mode="before")(fill_workspace)

    @property
    def key(self) -> str:
        return self.model

    @classmethod
    def following(cls, cause: "ControlMessage", *, occurred_at: datetime, **fields: Any) -> Self:
        """Return an event that `cause` led to, in the same timeline and about the same model."""
        given = {"model": cause.model, "event_id": uuid4(), **fields}
        return cls(occurred_at=occurred_at, correlation_id=cause.correlation_id, cause_id=cause.event_id, **given)


def derived_id(*parts: object) -> UUID:
    """Id of an event whose cause may be replayed: equal parts give equal ids."""
    return uuid5(NAMESPACE, "\x1f".join(str(part) for part in parts))


class Severity(StrEnum):
    """Urgency of a finding; only `warning` and above may start a run or a rollout."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


__all__ = [
    "NAMESPACE",
    "ControlMessage",
    "Field",
    "Message",
    "Part",
    "Severity",
    "UtcDatetime",
    "derived_id",
    "fill_workspace",
]
