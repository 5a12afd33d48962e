"""Store every control event in table `events`, exactly once: a timeline is one query."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final

import fastavro
import pyarrow as pa

from modelyard_contracts import (
    AlertRaised,
    DriftDetected,
    FeedbackReceived,
    GenerationLogged,
    PredictionLogged,
    SliceSummarised,
)
from modelyard_contracts.codec import Codec, Undecodable
from modelyard_contracts.topics import all_topics, avro_schema
from modelyard_monitor.ingest.batches import DeadLetterBox, bury, token_of
from modelyard_monitor.ingest.decode import BadRecord
from modelyard_monitor.ingest.row_rules import EARLIEST, LATEST, is_sane
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_runtime.changes import MemoryChanges
from modelyard_runtime.kafka import Received
from modelyard_runtime.signing import Gate, NotSigned

DATA_TOPICS: Final = frozenset(
    {PredictionLogged.TOPIC, GenerationLogged.TOPIC, FeedbackReceived.TOPIC, SliceSummarised.TOPIC}
)
"""High-volume topics, with tables of their own or none."""

FOLLOWED: Final = {DriftDetected.TOPIC: "drift", AlertRaised.TOPIC: "alert"}
"""Topic to the type of change that followers see."""

_UTC: Final = pa.timestamp("us", "UTC")
_SCHEMA: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("event_id", "topic")),
        *((name, _UTC) for name in ("occurred_at", "recorded_at")),
        *((name, pa.string()) for name in ("correlation_id", "cause_id", "model", "type", "key", "payload", "_topic")),
        ("_partition", pa.uint32()),
        ("_offset", pa.uint64()),
    ]
)


def control_topics() -> tuple[str, ...]:
    """Return all topics except the high-volume ones."""
    return tuple(spec.name for spec in all_topics() if spec.name not in DATA_TOPICS)


class ControlEventIngest:
    """Stores batches of control events. The same batch again changes nothing."""

    def __init__(
        self,
        clickhouse: ClickHouse,
        codec: Codec,
        dead_letters: DeadLetterBox,
        changes: MemoryChanges,
        gate: Gate | None = None,
    ) -> None:
        self._clickhouse = clickhouse
        self._codec = codec
        self._dead_letters = dead_letters
        self._changes, self._gate = changes, gate

    async def store(self, records: Sequence[Received]) -> int:
        """Store the records of one partition and return the number of rows. After Retryable, repeat the whole batch."""
        table, bad = await asyncio.to_thread(self._decode, records)
        await bury(bad, self._dead_letters)
        await asyncio.to_thread(self._clickhouse.insert, "events", table, token_of(records))
        self._dead_letters.good(records[0].topic, records[0].partition, table.num_rows)
        self._notify(table)
        return int(table.num_rows)

    def _notify(self, events: pa.Table) -> None:
        """Wake those who follow `GET /v1/changes`."""
        for topic, event_id, model in zip(
            *(events[name].to_pylist() for name in ("topic", "event_id", "model")), strict=True
        ):
            if topic in FOLLOWED:
                self._changes.add(FOLLOWED[topic], event_id, model=model)

    def _decode(self, records: Sequence[Received]) -> tuple[pa.Table, list[BadRecord]]:
        rows: list[dict[str, Any]] = []
        bad: list[BadRecord] = []
        for record in records:
            if record.value is None:
                continue  # a tombstone of a compacted topic is not an event
            try:
                if self._gate is not None:
                    self._gate.check(record)
                rows.append(event_row(record, self._codec))
            except NotSigned as error:
                bad.append(BadRecord(record, str(error), forged=True))
            except Undecodable as error:
                bad.append(BadRecord(record, str(error)))
        return pa.Table.from_pylist(rows, schema=_SCHEMA), bad


def event_row(record: Received, codec: Codec) -> dict[str, Any]:
    """Return one row of table events; Undecodable when the bytes are not an event of their topic."""
    event = _decoded(record, codec)
    if not EARLIEST <= event["occurred_at"] < LATEST:
        raise Undecodable("field occurred_at: not between the years 2000 and 2100")
    recorded = is_sane(record.timestamp_ms)
    return {
        "event_id": event["event_id"],
        "topic": record.topic,
        "occurred_at": event["occurred_at"],
        "recorded_at": datetime.fromtimestamp(record.timestamp_ms / 1000, UTC) if recorded else event["occurred_at"],
        "correlation_id": event.get("correlation_id") or record.headers.get("correlation_id", ""),
        "cause_id": event.get("cause_id"),
        "model": event.get("model") or "",
        "type": avro_schema(record.topic)["name"],
        "key": record.key or "",
        "payload": json.dumps(event, default=_json, ensure_ascii=False),
        "_topic": record.topic,
        "_partition": record.partition,
        "_offset": record.offset,
    }


def _decoded(record: Received, codec: Codec) -> Mapping[str, Any]:
    value = record.value or b""
    writer, start = codec.writer_schema(value)
    wanted = avro_schema(record.topic)
    if writer.parsed.get("name") != f"{wanted['namespace']}.{wanted['name']}":
        raise Undecodable(f"holds a {writer.parsed.get('name')}, not a {wanted['name']}")
    stream = BytesIO(value)
    stream.seek(start)
    try:
        event = fastavro.schemaless_reader(stream, writer.parsed, None)
    except Exception as error:  # fastavro raises a dozen types on bad bytes; all of them mean the same here
        raise Undecodable(f"not an Avro body of {wanted['name']}: {type(error).__name__}: {error}") from error
    if stream.tell() != len(value):
        raise Undecodable(f"{len(value) - stream.tell()} bytes too many after a {wanted['name']}")
    return event  # type: ignore[return-value]  # our schemas are records


def _json(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
