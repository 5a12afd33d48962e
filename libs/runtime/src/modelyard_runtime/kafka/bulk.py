"""Fetched records by the batch instead of one by one: aiokafka's fetcher, told to hand on what its C code parsed.

aiokafka (0.14) makes a ConsumerRecord of each record in Python, at several microseconds; its record batches are parsed
in C at a third of one. All that decides which records are seen (checksums, aborted transactions, control batches, the
position) stays aiokafka's: it is handed whole batches in the place of records.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from aiokafka.consumer.fetcher import FetchResult

NO_ROWS: Final[Sequence[Any]] = ()


def read_in_bulk(client: Any) -> None:
    """From now on `getmany` of this started AIOKafkaConsumer gives, and counts, parsed batches; see `rows`."""
    fetcher = client._fetcher
    fetcher._records = _Fetched(fetcher._records)


def rows(batches: Iterable["Batch"]) -> list[Any]:
    """The records of what `getmany` gave for one partition: offset, timestamp, key, value, headers each."""
    return [row for batch in batches for row in batch.rows]


class Batch:
    """The records of one batch, in the place of a record."""

    __slots__ = ("offset", "rows")

    def __init__(self, rows: Sequence[Any]) -> None:
        self.rows = rows
        self.offset = rows[-1].offset

    def since(self, offset: int) -> "Batch":
        """Without what lies before `offset`: a batch is fetched whole, from wherever it is wanted."""
        return self if self.rows[0].offset >= offset else Batch([row for row in self.rows if row.offset >= offset])


class _Fetched(OrderedDict[Any, Any]):
    """Results of fetches by partition."""

    def __setitem__(self, partition: Any, result: Any) -> None:
        if type(result) is FetchResult:
            found = result._partition_records
            found._records = _Batches(found._records)
            # Called before the position moves on to behind the batch.
            found._consumer_record = lambda _, batch: batch.since(found.next_fetch_offset)
        super().__setitem__(partition, result)


class _Batches:
    """aiokafka's MemoryRecords whose batches hold one record each: themselves."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.has_next = records.has_next

    def next_batch(self) -> "_Parsed":
        return _Parsed(self._records.next_batch())


class _Parsed:
    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Batch]:
        found = list(self._batch)
        return iter([Batch(found)] if found else [])
