"""Headers of every message: CloudEvents' names, W3C trace context, the correlation id."""

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from modelyard_contracts import Message
from modelyard_runtime.tracing import CORRELATION_ID, TRACEPARENT, current_correlation_id, current_traceparent

CE_ID: Final = "ce_id"
CE_TYPE: Final = "ce_type"
CE_SOURCE: Final = "ce_source"


def message_headers(message: Message, source: str = "") -> dict[str, str]:
    """ce_id, ce_type, correlation_id and, inside a span, traceparent; ce_source when the writer is known."""
    headers = {CE_ID: str(message.event_id), CE_TYPE: message.TOPIC, CORRELATION_ID: str(correlation_of(message))}
    if source:
        headers[CE_SOURCE] = source
    if parent := current_traceparent():
        headers[TRACEPARENT] = parent
    return headers


def correlation_of(message: Message) -> UUID:
    """The correlation id: the message's own, the current one, or the event's id if it is the first."""
    own: UUID | None = getattr(message, "correlation_id", None)
    return own or current_correlation_id() or message.event_id


def to_wire(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in headers.items()]


def from_wire(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Text headers; a repeated name keeps its last value, invalid bytes are replaced."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in headers}
