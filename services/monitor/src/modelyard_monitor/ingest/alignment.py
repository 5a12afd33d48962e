"""Columns of any writer schema as those of the topic's newest schema, with the place of each row in Kafka."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyruhvro
from numpy.typing import NDArray

from modelyard_contracts.topics import schema_text
from modelyard_monitor.ingest.row_rules import is_sane
from modelyard_runtime.kafka import Records

UTC_MICROS = pa.timestamp("us", "UTC")


def aligned_table(batches: Sequence[pa.RecordBatch], topic: str) -> pa.Table:
    """Return the batches as one table with the columns of the topic's newest schema."""
    schema, _ = _newest(topic)
    return pa.Table.from_batches([_aligned(batch, topic) for batch in batches]) if batches else schema.empty_table()


def with_origin(table: pa.Table, positions: NDArray[np.int64], batch: Records) -> pa.Table:
    """Append received_at, _topic, _partition and _offset. An insane Kafka timestamp is replaced by occurred_at."""
    millis = np.array(batch.timestamps_ms(), dtype=np.int64)[positions]
    offsets = np.array(batch.offsets(), dtype=np.uint64)[positions]
    occurred = table["occurred_at"].cast(UTC_MICROS)
    received = np.where(is_sane(millis), millis * 1000, occurred.cast(pa.int64()).to_numpy())
    table = table.set_column(table.schema.get_field_index("occurred_at"), "occurred_at", occurred)
    table = table.append_column("received_at", pa.array(received, UTC_MICROS))
    table = table.append_column("_topic", pa.repeat(pa.scalar(batch.topic, pa.string()), table.num_rows))
    table = table.append_column("_partition", pa.array(np.full(table.num_rows, batch.partition, dtype=np.uint32)))
    return table.append_column("_offset", pa.array(offsets))


@cache
def _newest(topic: str) -> tuple[pa.Schema, dict[str, Any]]:
    """Return the columns of the newest schema, and the defaults of those that have one."""
    defaults = {f["name"]: f["default"] for f in json.loads(schema_text(topic))["fields"] if "default" in f}
    return pyruhvro.avro_to_arrow_schema(schema_text(topic)), defaults


def _aligned(batch: pa.RecordBatch, topic: str) -> pa.RecordBatch:
    """Drop a writer's extra columns; fill missing ones with the default."""
    schema, defaults = _newest(topic)
    if batch.schema.equals(schema):
        return batch
    columns = [
        batch.column(f.name).cast(f.type)
        if f.name in batch.schema.names
        else pa.array([_default(defaults[f.name])] * batch.num_rows, f.type)
        for f in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema([f.with_nullable(True) for f in schema])).cast(schema)


def _default(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value
