"""Join labels that arrived before their prediction, in rounds, each round exactly once.

A round belongs to one partition of labels and has a number, one above the highest stored. Its rows are inserted under a
token with that number and read back before their slices are sent, so two workers that both own the partition for a
moment store and send the same round. The last round is sent again after a start or an error, as it may not have been.
"""

import asyncio
from typing import Any, Final

import pyarrow as pa

from modelyard_contracts import FeedbackReceived, OffsetRange
from modelyard_monitor.domain.evidence_rows import LATE_SUFFIX
from modelyard_monitor.domain.ports import Manifests, Sender
from modelyard_monitor.ingest.batches import TOKEN_VERSION, PartitionLocks, send_all
from modelyard_monitor.ingest.label_join import MATCH_FIELDS, LabelMatcher, joined
from modelyard_monitor.ingest.label_slices import label_slices
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

LATE_SOURCE: Final = f"{FeedbackReceived.TOPIC}{LATE_SUFFIX}"
"""Replaces the topic in `covers` of slices of late joins; the offset is the number of the round."""
ROWS_PER_ROUND: Final = 5_000
MAX_OFFSET: Final = 2**63 - 1

UNMATCHED_SQL: Final = """
SELECT DISTINCT _partition FROM {db}.labels
WHERE matched = 0 AND _topic = {topic:String} AND received_at >= now64(6) - toIntervalDay({days:UInt32})
    AND (_partition, _offset) NOT IN (
        SELECT _partition, _offset FROM {db}.label_matches
        WHERE _topic = {topic:String} AND received_at >= now64(6) - toIntervalDay({days:UInt32})
    )"""

WAITING_SQL: Final = """
WITH waiting AS (
    SELECT * FROM {db}.labels
    WHERE matched = 0 AND _topic = {topic:String} AND _partition = {partition:UInt32}
        AND received_at >= now64(6) - toIntervalDay({days:UInt32})
        AND _offset NOT IN (
            SELECT _offset FROM {db}.label_matches WHERE _topic = {topic:String} AND _partition = {partition:UInt32}
        )
),
answered AS (
    SELECT workspace, prediction_id, model FROM {db}.predictions
    WHERE shadow_of IS NULL AND status = 'ok' AND prediction_id IN (SELECT prediction_id FROM waiting)
)
SELECT * FROM waiting
WHERE (workspace, prediction_id, named_model) IN (SELECT workspace, prediction_id, model FROM answered)
    OR (named_model = '' AND (workspace, prediction_id) IN (SELECT workspace, prediction_id FROM answered))
ORDER BY _offset LIMIT {limit:UInt32}"""

LAST_ROUND_SQL: Final = """
SELECT max(pass) AS pass FROM {db}.label_matches WHERE _topic = {topic:String} AND _partition = {partition:UInt32}"""

ROUND_SQL: Final = """
SELECT * FROM {db}.label_matches
WHERE _topic = {topic:String} AND _partition = {partition:UInt32} AND pass = {pass:UInt64} ORDER BY _offset"""


class LateJoiner:
    """Joins labels that were stored unmatched, for the partitions that this worker reads."""

    def __init__(
        self, clickhouse: ClickHouse, manifests: Manifests, sender: Sender, locks: PartitionLocks, days: int
    ) -> None:
        self._clickhouse = clickhouse
        self._matcher = LabelMatcher(clickhouse, manifests)
        self._sender = sender
        self._locks = locks
        self._days = days
        self._sent_last: set[int] = set()

    def forget(self, partitions: set[int]) -> None:
        """Send the last round of newly assigned partitions again."""
        self._sent_last -= partitions

    async def due(self, partitions: set[int]) -> list[int]:
        """Return the partitions that may need a round: one cheap query instead of several per partition."""
        where = {"topic": FeedbackReceived.TOPIC, "days": self._days}
        rows = await asyncio.to_thread(self._clickhouse.rows, UNMATCHED_SQL, where)
        return sorted(partitions & ({row["_partition"] for row in rows} | (partitions - self._sent_last)))

    async def join(self, partition: int) -> int:
        """Run one round for one partition; return the number of joined labels."""
        last = await asyncio.to_thread(self._last_pass, partition)
        if partition not in self._sent_last:
            await self._send(partition, last)
            self._sent_last.add(partition)
        async with self._locks.of(partition):
            rows = await asyncio.to_thread(self._find, partition, last + 1)
            if not rows.num_rows:
                return 0
            self._sent_last.discard(partition)  # a failure from here on may leave a stored round unsent
            token = f"{TOKEN_VERSION}:{LATE_SOURCE}:{partition}:{last + 1}"
            await asyncio.to_thread(self._clickhouse.insert, "label_matches", rows, token)
        await self._send(partition, last + 1)
        self._sent_last.add(partition)
        log.info("late labels joined", partition=partition, labels=rows.num_rows, round=last + 1)
        return int(rows.num_rows)

    def _last_pass(self, partition: int) -> int:
        [row] = self._clickhouse.rows(LAST_ROUND_SQL, _where(partition))
        return int(row["pass"])

    def _find(self, partition: int, number: int) -> pa.Table:
        waiting = self._clickhouse.table(
            WAITING_SQL, {**_where(partition), "days": self._days, "limit": ROWS_PER_ROUND}
        )
        if not waiting.num_rows:
            return waiting
        matches = self._matcher.match(waiting)
        waiting = waiting.filter(pa.array([one is not None for one in matches]))
        found = [one for one in matches if one is not None]
        counted = self._matcher.counted(waiting, partition, MAX_OFFSET) if found else set()
        rows = joined(waiting.drop_columns(MATCH_FIELDS.names), found, counted)
        return rows.append_column("pass", pa.array([number] * rows.num_rows, pa.uint64()))

    async def _send(self, partition: int, number: int) -> None:
        if not number:
            return
        stored = await asyncio.to_thread(self._clickhouse.table, ROUND_SQL, {**_where(partition), "pass": number})
        covers = OffsetRange(topic=LATE_SOURCE, partition=partition, first_offset=number, last_offset=number)
        await send_all(label_slices(stored, covers), self._sender)


def _where(partition: int) -> dict[str, Any]:
    return {"topic": FeedbackReceived.TOPIC, "partition": partition}
