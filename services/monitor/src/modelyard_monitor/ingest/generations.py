"""Store one batch of logged generations: decode, insert. Generations have no features and are not counted."""

import asyncio
from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from modelyard_contracts import GenerationLogged
from modelyard_contracts.codec import Codec
from modelyard_monitor.ingest.batches import DeadLetterBox, bury, token_of
from modelyard_monitor.ingest.decode import BadRecord, decode_columns
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_runtime.kafka import Received

TABLE_COLUMNS: Final = (
    *("event_id", "generation_id", "occurred_at", "received_at", "workspace", "model", "model_version", "model_digest"),
    *("route", "route_sequence", "variant", "rule", "path", "entity_key_hash", "session_id", "prompt_name"),
    *("prompt_version", "feature_schema_id", "input_characters", "output_characters", "input_tokens", "output_tokens"),
    *("time_to_first_token_ms", "latency_ms", "overhead_ms", "cost_usd", "status", "finish_reason", "attempts"),
    *("text_policy", "input_text", "output_text", "_topic", "_partition", "_offset"),
)


class GenerationIngest:
    """Stores batches of GenerationLogged. The same batch again changes nothing."""

    topic: Final = GenerationLogged.TOPIC

    def __init__(self, clickhouse: ClickHouse, codec: Codec, dead_letters: DeadLetterBox) -> None:
        self._clickhouse = clickhouse
        self._codec = codec
        self._dead_letters = dead_letters

    async def store(self, records: Sequence[Received]) -> int:
        """Store the records of one partition and return the number of rows. After Retryable, repeat the whole batch."""
        table, bad = await asyncio.to_thread(self._decode, records)
        await bury(bad, self._dead_letters)
        await asyncio.to_thread(self._clickhouse.insert, "generations", table, token_of(records))
        self._dead_letters.good(self.topic, records[0].partition, table.num_rows)
        return int(table.num_rows)

    def _decode(self, records: Sequence[Received]) -> tuple[pa.Table, list[BadRecord]]:
        decoded = decode_columns(records, self.topic, self._codec)
        return decoded.table.select(TABLE_COLUMNS), decoded.bad
