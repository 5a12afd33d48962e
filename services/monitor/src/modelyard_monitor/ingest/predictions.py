"""Store one batch of logged predictions: decode, count, insert rows and counts, send the slices."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from modelyard_contracts import PredictionLogged, SliceSummarised
from modelyard_contracts.codec import Codec
from modelyard_monitor.domain.ports import Sender
from modelyard_monitor.ingest.batches import DeadLetterBox, bury, covers_of, send_all, token_of
from modelyard_monitor.ingest.bin_tables import feature_bins, no_bins
from modelyard_monitor.ingest.binning import groups_of
from modelyard_monitor.ingest.counter import Counter
from modelyard_monitor.ingest.decode import BadRecord, decode_columns
from modelyard_monitor.ingest.slices import prediction_slice
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_runtime.kafka import Received

TABLE_COLUMNS: Final = (
    *("event_id", "prediction_id", "occurred_at", "received_at", "workspace", "model", "model_version", "model_digest"),
    *("route", "route_sequence", "variant", "rule", "path", "entity_key_hash", "feature_schema_id", "num_features"),
    *("cat_features", "features_by_name", "class", "score", "scores", "text_length", "latency_ms", "overhead_ms"),
    *("cost_usd", "status", "attempts", "shadow_of", "sampled", "votes", "_topic", "_partition", "_offset"),
)


@dataclass(frozen=True)
class Counted:
    """A decoded and counted batch, ready to be stored."""

    table: pa.Table
    bins: pa.Table
    slices: tuple[SliceSummarised, ...]
    bad: tuple[BadRecord, ...]


class PredictionIngest:
    """Stores batches of PredictionLogged. The same batch again changes nothing, and sends the same slices."""

    topic: Final = PredictionLogged.TOPIC

    def __init__(
        self,
        clickhouse: ClickHouse,
        counter: Counter,
        codec: Codec,
        sender: Sender,
        dead_letters: DeadLetterBox,
    ) -> None:
        self._clickhouse = clickhouse
        self._counter = counter
        self._codec = codec
        self._sender = sender
        self._dead_letters = dead_letters

    async def store(self, records: Sequence[Received]) -> int:
        """Store the records of one partition and return the number of rows. After Retryable, repeat the whole batch."""
        counted = await asyncio.to_thread(self.count, records)
        await bury(counted.bad, self._dead_letters)
        await asyncio.to_thread(self._insert, counted, token_of(records))
        await send_all(counted.slices, self._sender)
        self._dead_letters.good(self.topic, records[0].partition, counted.table.num_rows)
        return int(counted.table.num_rows)

    def count(self, records: Sequence[Received]) -> Counted:
        """Decode and count; blocks on the registry for versions that are not cached."""
        decoded = decode_columns(records, self.topic, self._codec)
        covers = covers_of(records)
        bins: list[pa.Table] = []
        slices: list[SliceSummarised] = []
        for group in groups_of(decoded.table):
            answered = group.answered()
            counts = self._counter.count(answered)
            bins.append(feature_bins(answered, counts.columns, counts.unusable))
            slices.append(prediction_slice(group, counts, covers))
        rows = pa.concat_tables(bins) if bins else no_bins()
        return Counted(decoded.table.select(TABLE_COLUMNS), rows, tuple(slices), tuple(decoded.bad))

    def _insert(self, counted: Counted, token: str) -> None:
        self._clickhouse.insert("predictions", counted.table, token)
        self._clickhouse.insert("feature_bins", counted.bins, token)
