"""What every message on every topic has in common."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID, uuid4, uuid5

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAMESPACE = UUID("6f1d4a52-6d5c-5f0e-9d0a-4d6f64656c79")
"""Names of events that must get the same id on every replay are hashed below this one (RFC 9562, version 5)."""


def _to_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a moment needs its zone, such as 2026-01-31T12:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a moment outside of the years 1 to 9999 in UTC") from error


UtcDatetime = Annotated[datetime, AfterValidator(_to_utc)]
"""A moment with a zone, kept in UTC; microseconds on the wire."""


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


class ControlMessage(Message):
    """An event of the loop: it knows which story it belongs to and which event led to it."""

    correlation_id: UUID
    """One value from the drift event to the promotion."""
    cause_id: UUID | None = None
    """The event before; None when a person or a clock began the story."""
    model: str

    @property
    def key(self) -> str:
        return self.model

    @classmethod
    def following(cls, cause: "ControlMessage", *, occurred_at: datetime, **fields: Any) -> Self:
        """An event that `cause` led to: the same story, the same model."""
        given = {"model": cause.model, "event_id": uuid4(), **fields}
        return cls(occurred_at=occurred_at, correlation_id=cause.correlation_id, cause_id=cause.event_id, **given)


def derived_id(*parts: object) -> UUID:
    """The id of an event whose cause may be replayed: equal parts give the equal id."""
    return uuid5(NAMESPACE, "\x1f".join(str(part) for part in parts))


class Severity(StrEnum):
    """How much a reader should care; only `warning` and above may start anything."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


__all__ = ["NAMESPACE", "ControlMessage", "Field", "Message", "Part", "Severity", "UtcDatetime", "derived_id"]
