"""One record as it came from the broker."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modelyard_runtime.headers import from_wire

RawHeaders = Sequence[tuple[str, bytes | None]]


class Received:
    """A record; never changed after it was made (not enforced: a hundred thousand are made per second).

    Key and headers are decoded when they are asked for; the raw forms stay for dead letters.
    """

    __slots__ = ("key_bytes", "offset", "partition", "raw_headers", "timestamp_ms", "topic", "value")

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        key: str | bytes | None = None,
        value: bytes | None = None,
        headers: Mapping[str, str] | RawHeaders = (),
        timestamp_ms: int = 0,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.key_bytes = key.encode() if isinstance(key, str) else key
        self.value = value
        self.raw_headers: RawHeaders = (
            headers
            if type(headers) is tuple or not isinstance(headers, Mapping)  # the first is what the broker's client gives
            else tuple((name, text.encode()) for name, text in headers.items())
        )
        self.timestamp_ms = timestamp_ms

    @property
    def key(self) -> str | None:
        return None if self.key_bytes is None else self.key_bytes.decode("utf-8", "replace")

    @property
    def headers(self) -> Mapping[str, str]:
        return from_wire(self.raw_headers)

    @property
    def size_bytes(self) -> int:
        return len(self.value or b"") + len(self.key_bytes or b"")

    def __repr__(self) -> str:
        return f"Received({self.topic}[{self.partition}]@{self.offset}, {len(self.value or b'')} bytes)"


def received(records: Iterable[Any]) -> list[Received]:
    """aiokafka's records as ours."""
    return [Received(r.topic, r.partition, r.offset, r.key, r.value, r.headers, r.timestamp) for r in records]
