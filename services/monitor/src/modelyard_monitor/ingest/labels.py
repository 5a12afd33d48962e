"""Store one batch of labels: wait for predictions in transit, join, insert, send the slices.

The stored rows are authoritative. When a crash follows the insert of a first attempt, the rows of the second attempt
are dropped by their token, and the slices are made from the rows that are in the table.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from modelyard_contracts import FeedbackReceived, OffsetRange
from modelyard_contracts.codec import Codec
from modelyard_monitor.domain.ports import Sender
from modelyard_monitor.ingest.batches import DeadLetterBox, bury, covers_of, send_all, token_of
from modelyard_monitor.ingest.decode import BadRecord, decode_columns
from modelyard_monitor.ingest.label_join import (
    RECENT,
    Key,
    PredictionLookup,
    id_chunks,
    joined,
    keys_of,
    label_slices,
)
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Retryable
from modelyard_runtime.kafka import Received

EARLIER_SQL: Final = """
SELECT DISTINCT workspace, prediction_id FROM {db}.labels
WHERE prediction_id IN {ids:Array(String)}
    AND NOT (_topic = {topic:String} AND _partition = {partition:UInt32} AND _offset >= {first:UInt64})"""

STORED_SQL: Final = """
SELECT * FROM {db}.labels
WHERE _topic = {topic:String} AND _partition = {partition:UInt32}
    AND _offset >= {first:UInt64} AND _offset <= {last:UInt64}
ORDER BY _offset"""

LABEL_COLUMNS: Final = (
    *("event_id", "prediction_id", "label", "value", "source", "occurred_at", "received_at", "workspace"),
    *("_topic", "_partition", "_offset"),
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
        codec: Codec,
        sender: Sender,
        dead_letters: DeadLetterBox,
        clock: Clock,
        grace_s: float,
    ) -> None:
        self._clickhouse = clickhouse
        self._codec = codec
        self._sender = sender
        self._dead_letters = dead_letters
        self._clock = clock
        self._grace = timedelta(seconds=grace_s)
        self._predictions = PredictionLookup(clickhouse)

    async def store(self, records: Sequence[Received]) -> int:
        """Store the records of one partition and return the number of rows. After Retryable, repeat the whole batch."""
        rows, bad = await asyncio.to_thread(self.join, records)
        await bury(bad, self._dead_letters)
        covers = covers_of(records)
        stored = await asyncio.to_thread(self._insert, rows, token_of(records), covers)
        await send_all(label_slices(stored, covers), self._sender)
        self._dead_letters.good(self.topic, records[0].partition, rows.num_rows)
        return int(rows.num_rows)

    def join(self, records: Sequence[Received]) -> tuple[pa.Table, list[BadRecord]]:
        """Return the rows to store. PredictionsOnTheirWay while the prediction of a young label is missing."""
        decoded = decode_columns(records, self.topic, self._codec)
        labels = decoded.table.select(LABEL_COLUMNS)
        if not labels.num_rows:
            return joined(labels, {}, set()), decoded.bad
        since = pc.min(labels["occurred_at"]).as_py() - RECENT
        found = self._predictions.find(keys_of(labels), since)
        self._wait_for_missing(labels, found)
        return joined(labels, found, self._earlier(labels, records)), decoded.bad

    def _wait_for_missing(self, labels: pa.Table, found: dict[Key, Any]) -> None:
        now = self._clock()
        keys = zip(keys_of(labels), labels["received_at"].to_pylist(), strict=True)
        # abs: otherwise a label from a clock that is far ahead would count as young for as long.
        waiting = sum(abs(now - at) < self._grace and key not in found for key, at in keys)
        if waiting:
            raise PredictionsOnTheirWay(f"{waiting} of {labels.num_rows} labels wait for their prediction")

    def _earlier(self, labels: pa.Table, records: Sequence[Received]) -> set[Key]:
        where = {"topic": self.topic, "partition": records[0].partition, "first": records[0].offset}
        earlier: set[Key] = set()
        for ids in id_chunks(labels["prediction_id"].unique().to_pylist()):
            rows = self._clickhouse.table(EARLIER_SQL, {**where, "ids": ids})
            earlier |= set(keys_of(rows))
        return earlier

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
