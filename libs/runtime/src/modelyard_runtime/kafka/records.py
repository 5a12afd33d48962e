"""Records as they came from the broker: one, and many of one partition."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, overload

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


class Records(Sequence[Received]):
    """Records of one partition in the order of their offsets; never changed after they were made.

    A Received is made when one is asked for; where volume makes that dear, ask for a column.
    """

    __slots__ = ("_rows", "_sizes", "partition", "size_bytes", "topic")

    def __init__(
        self, topic: str, partition: int, rows: Sequence[Any] = (), sizes: Sequence[int] | None = None
    ) -> None:
        """rows: the client's records, which have offset, timestamp, key, value and headers; sizes: bytes of each."""
        self.topic = topic
        self.partition = partition
        self._rows = rows
        self._sizes = [len(r.value or b"") + len(r.key or b"") for r in rows] if sizes is None else sizes
        self.size_bytes = sum(self._sizes)

    @classmethod
    def of(cls, records: Sequence[Received]) -> "Records":
        """Given records of one partition as columns; not empty."""
        if isinstance(records, cls):
            return records
        rows = [Row(r.offset, r.timestamp_ms, r.key_bytes, r.value, r.raw_headers) for r in records]
        return cls(records[0].topic, records[0].partition, rows)

    def values(self) -> list[bytes | None]:
        return [row.value for row in self._rows]

    def offsets(self) -> list[int]:
        return [row.offset for row in self._rows]

    def timestamps_ms(self) -> list[int]:
        return [row.timestamp for row in self._rows]

    @property
    def last_offset(self) -> int:
        """-1 when there are none."""
        return int(self._rows[-1].offset) if self._rows else -1

    def plus(self, rows: Sequence[Any]) -> "Records":
        """These and the client's next records."""
        new = Records(self.topic, self.partition, rows)
        return Records(self.topic, self.partition, [*self._rows, *rows], [*self._sizes, *new._sizes])

    def cut(self, max_records: int, max_bytes: int) -> int:
        """How many of the first stay within both limits; the first always does."""
        if len(self) <= max_records and self.size_bytes <= max_bytes:
            return len(self)
        for index, size in enumerate(accumulate(self._sizes)):
            if index and (index >= max_records or size > max_bytes):
                return index
        return len(self)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Received: ...

    @overload
    def __getitem__(self, place: slice) -> "Records": ...

    def __getitem__(self, place: int | slice) -> "Received | Records":
        if isinstance(place, slice):
            return Records(self.topic, self.partition, self._rows[place], self._sizes[place])
        row = self._rows[place]
        return Received(self.topic, self.partition, row.offset, row.key, row.value, tuple(row.headers), row.timestamp)

    def __repr__(self) -> str:
        return f"Records({self.topic}[{self.partition}], {len(self)} up to {self.last_offset})"


class Row(NamedTuple):
    """A record with the fields of the client's records."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: RawHeaders
