"""Store one batch of labels: wait for predictions in transit, join, insert, send the slices.

The stored rows are authoritative. When a crash follows the insert of a first attempt, the rows of the second attempt
are dropped by their token, and the slices are made from the rows that are in the table.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from modelyard_contracts import FeedbackReceived, OffsetRange
from modelyard_contracts.codec import Codec
from modelyard_monitor.domain.labels import Match
from modelyard_monitor.domain.ports import Manifests, Sender
from modelyard_monitor.ingest.batches import DeadLetterBox, PartitionLocks, bury, covers_of, send_all, token_of
from modelyard_monitor.ingest.decode import BadRecord, decode_columns
from modelyard_monitor.ingest.label_join import LabelMatcher, joined
from modelyard_monitor.ingest.label_slices import label_slices
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Retryable
from modelyard_runtime.kafka import Received

STORED_SQL: Final = """
SELECT * FROM {db}.labels
WHERE _topic = {topic:String} AND _partition = {partition:UInt32}
    AND _offset >= {first:UInt64} AND _offset <= {last:UInt64}
ORDER BY _offset"""

LABEL_COLUMNS: Final = (
    *("event_id", "prediction_id", "label", "value", "source", "occurred_at", "received_at", "workspace"),
    *("named_model", "_topic", "_partition", "_offset"),
)


class PredictionsOnTheirWay(Retryable):
    """Predictions of young labels are not stored yet; the partition waits."""

    code = "predictions_on_their_way"


class LabelIngest:
    """Stores batches of FeedbackReceived. The same batch again changes nothing, and sends the same slices."""

    topic: Final = FeedbackReceived.TOPIC

    def __init__(
        self,
        clickhouse: ClickHouse,
        manifests: Manifests,
        codec: Codec,
        sender: Sender,
        dead_letters: DeadLetterBox,
        locks: PartitionLocks,
        clock: Clock,
        grace_s: float,
    ) -> None:
        self._clickhouse = clickhouse
        self._matcher = LabelMatcher(clickhouse, manifests)
        self._codec = codec
        self._sender = sender
        self._dead_letters = dead_letters
        self._locks = locks
        self._clock = clock
        self._grace = timedelta(seconds=grace_s)

    async def store(self, records: Sequence[Received]) -> int:
        """Store the records of one partition and return the number of rows. After Retryable, repeat the whole batch."""
        covers = covers_of(records)
        async with self._locks.of(covers.partition):
            rows, bad = await asyncio.to_thread(self.join, records)
            stored = await asyncio.to_thread(self._insert, rows, token_of(records), covers)
        await bury(bad, self._dead_letters)
        await send_all(label_slices(stored, covers), self._sender)
        self._dead_letters.good(self.topic, records[0].partition, rows.num_rows)
        return int(rows.num_rows)

    def join(self, records: Sequence[Received]) -> tuple[pa.Table, list[BadRecord]]:
        """Return the rows to store. PredictionsOnTheirWay while the prediction of a young label is missing."""
        decoded = decode_columns(records, self.topic, self._codec)
        labels = with_named_model(decoded.table).select(LABEL_COLUMNS)
        if not labels.num_rows:
            return joined(labels, [], set()), decoded.bad
        matches = self._matcher.match(labels)
        self._wait_for_missing(labels, matches)
        counted = self._matcher.counted(labels, records[0].partition, records[0].offset)
        return joined(labels, matches, counted), decoded.bad

    def _wait_for_missing(self, labels: pa.Table, matches: Sequence[Match | None]) -> None:
        now = self._clock()
        received = zip(matches, labels["received_at"].to_pylist(), strict=True)
        # abs: otherwise a label from a clock that is far ahead would count as young for as long.
        waiting = sum(abs(now - at) < self._grace and found is None for found, at in received)
        if waiting:
            raise PredictionsOnTheirWay(f"{waiting} of {labels.num_rows} labels wait for their prediction")

    def _insert(self, rows: pa.Table, token: str, covers: OffsetRange) -> pa.Table:
        self._clickhouse.insert("labels", rows, token)
        return self.stored(covers)

    def stored(self, covers: OffsetRange) -> pa.Table:
        """Return the rows of table labels with these offsets, in order."""
        return self._clickhouse.table(
            STORED_SQL,
            {
                "topic": covers.topic,
                "partition": covers.partition,
                "first": covers.first_offset,
                "last": covers.last_offset,
            },
        )


def with_named_model(labels: pa.Table) -> pa.Table:
    """Return the labels with the model that each names, '' for none, as column named_model."""
    return labels.append_column("named_model", pc.fill_null(labels["model"], ""))
