"""Framed Avro bytes to Arrow columns, a whole batch at once; bad messages are found and told apart.

The fast decoder (pyruhvro) gives no place of an error and takes neither trailing bytes nor bad UTF-8 for errors. So: on
an error the batch is halved until the culprit stands alone; after it every message must be as long as what was read of
it would be if written again; what looks wrong is judged by fastavro, whose word is final.
"""

import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from typing import Any, Final

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro
from numpy.typing import NDArray

from modelyard_contracts.codec import CONFLUENT_MAGIC, Codec, Undecodable, WriterSchema
from modelyard_contracts.topics import avro_schema, schema_text
from modelyard_monitor.ingest.lengths import UnknownAvroType, avro_lengths
from modelyard_runtime.kafka import Received, Records

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""A moment outside is a wrong unit or a broken clock; ClickHouse would file it under a partition of its own."""
MAX_NAME_CHARS: Final = 256


@dataclass(frozen=True)
class BadRecord:
    """A record that is no message of its topic, and why."""

    record: Received
    reason: str


@dataclass
class Decoded:
    """Columns of the good records in the order of their offsets, and the bad ones.

    table: the columns of the topic's newest schema, then received_at, _topic, _partition, _offset.
    """

    table: pa.Table
    bad: list[BadRecord] = field(default_factory=list)


@dataclass
class _Part:
    """Records of one writer schema that were decoded: their places in the batch, and their columns."""

    places: Sequence[int]
    columns: pa.RecordBatch


def decode_columns(records: Sequence[Received], topic: str, codec: Codec) -> Decoded:
    """Decode one partition's records. Retryable when the registry must be asked for a schema and is away."""
    batch = Records.of(records)
    values = batch.values()
    bad: dict[int, str] = {}
    parts: list[_Part] = []
    for writer, start, places in _by_writer(values, topic, codec, bad):
        bodies = [values[place][start:] for place in places]  # type: ignore[index]  # _by_writer left None out
        parts.extend(_decode_part(bodies, places, writer, bad))
    table, refused = _refuse(_with_origin(*_in_order(parts, topic), batch), topic)
    offsets = batch.offsets()
    bad |= {bisect_left(offsets, offset): reason for offset, reason in refused.items()}
    return Decoded(table, [BadRecord(batch[place], bad[place]) for place in sorted(bad)])


def _by_writer(
    values: Sequence[bytes | None], topic: str, codec: Codec, bad: dict[int, str]
) -> list[tuple[WriterSchema, int, Sequence[int]]]:
    found = []
    for places in _by_header(values, bad):
        try:
            writer, start = codec.writer_schema(values[places[0]] or b"")
            _check_name(writer, topic)
        except Undecodable as error:
            bad.update(dict.fromkeys(places, str(error)))
        else:
            found.append((writer, start, places))
    return found


def _by_header(values: Sequence[bytes | None], bad: dict[int, str]) -> list[Sequence[int]]:
    """Places of messages whose schema is named alike."""
    heads = {value and value[:5] for value in values}
    if len(heads) == 1 and (heads.pop() or b"")[:1] == CONFLUENT_MAGIC:
        return [range(len(values))]  # as good as always
    groups: dict[bytes, list[int]] = {}
    for place, value in enumerate(values):
        if value is None:
            bad[place] = "a message without a value (a tombstone)"
        else:
            groups.setdefault(value[:5] if value[:1] == CONFLUENT_MAGIC else value[:10], []).append(place)
    return list(groups.values())


def _check_name(writer: WriterSchema, topic: str) -> None:
    wanted = avro_schema(topic)
    name = f"{wanted['namespace']}.{wanted['name']}"
    if writer.parsed.get("name") != name:
        raise Undecodable(f"holds a {writer.parsed.get('name')}, not a {name}")


def _decode_part(bodies: list[bytes], places: Sequence[int], writer: WriterSchema, bad: dict[int, str]) -> list[_Part]:
    try:
        columns = _columns(bodies, writer)
    except _DecoderRefused:
        if len(bodies) == 1:
            return _decode_slowly(bodies[0], places[0], writer, bad)
        half = len(bodies) // 2
        return [
            *_decode_part(bodies[:half], places[:half], writer, bad),
            *_decode_part(bodies[half:], places[half:], writer, bad),
        ]
    doubtful = _of_other_length(columns, bodies, writer)
    if not doubtful.size:
        return [_Part(places, columns)]
    kept = np.setdiff1d(np.arange(len(bodies)), doubtful)
    good = [_Part([places[i] for i in kept], columns.take(pa.array(kept)))] if kept.size else []
    slow = [part for i in doubtful for part in _decode_slowly(bodies[i], places[i], writer, bad)]
    return good + slow


class _DecoderRefused(Exception):
    """The fast decoder could not read one of the messages."""


def _columns(bodies: list[bytes], writer: WriterSchema) -> pa.RecordBatch:
    try:
        columns = pyruhvro.deserialize_array(bodies, writer.text)
        columns.validate(full=True)  # bad UTF-8 passes the decoder
    except ValueError as error:
        raise _DecoderRefused from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what Rust throws is no Exception
            raise
        raise _DecoderRefused from error
    return columns


def _of_other_length(columns: pa.RecordBatch, bodies: list[bytes], writer: WriterSchema) -> NDArray[np.int64]:
    """Places of messages that are not as long as what they say: trailing bytes, or another way to write arrays."""
    given = np.fromiter(map(len, bodies), dtype=np.int64, count=len(bodies))
    try:
        lengths = avro_lengths(columns, writer.parsed)
    except UnknownAvroType:
        [written] = pyruhvro.serialize_record_batch(columns, writer.text, 1)
        lengths = pc.binary_length(written).to_numpy()
    return np.flatnonzero(lengths != given)


def _decode_slowly(body: bytes, place: int, writer: WriterSchema, bad: dict[int, str]) -> list[_Part]:
    stream = BytesIO(body)
    try:
        record = fastavro.schemaless_reader(stream, writer.parsed, None)
    except Exception as error:  # fastavro raises a dozen types on bad bytes; all of them mean the same here
        bad[place] = f"not an Avro body of {writer.parsed.get('name')}: {type(error).__name__}: {error}"
        return []
    if stream.tell() != len(body):
        bad[place] = f"{len(body) - stream.tell()} bytes too many behind a {writer.parsed.get('name')}"
        return []
    schema = pyruhvro.avro_to_arrow_schema(writer.text)
    row = {name: _plain(value) for name, value in dict(record).items()}  # type: ignore[arg-type]
    try:
        return [_Part([place], pa.RecordBatch.from_pylist([row], schema=schema))]
    except (pa.ArrowException, ValueError, OverflowError) as error:
        bad[place] = f"cannot be held in columns: {error}"
        return []


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return list(value.items()) if isinstance(value, dict) else value


@cache
def _wanted(topic: str) -> tuple[pa.Schema, dict[str, Any]]:
    """Columns of the newest schema, and the defaults of those that have one."""
    defaults = {f["name"]: f["default"] for f in json.loads(schema_text(topic))["fields"] if "default" in f}
    return pyruhvro.avro_to_arrow_schema(schema_text(topic)), defaults


def _in_order(parts: list[_Part], topic: str) -> tuple[pa.Table, NDArray[np.int64]]:
    """All parts in the order of their places, and these."""
    schema, _ = _wanted(topic)
    if not parts:
        return schema.empty_table(), np.zeros(0, dtype=np.int64)
    table = pa.Table.from_batches([_aligned(part.columns, topic) for part in parts])
    places = np.concatenate([np.asarray(part.places, dtype=np.int64) for part in parts])
    if len(parts) > 1:
        order = np.argsort(places)
        table, places = table.take(pa.array(order)), places[order]
    return table.combine_chunks(), places


def is_sane(timestamp_ms: Any) -> Any:
    """Whether a Kafka timestamp, or each of many, is a moment that the tables can go by; else take the event's own."""
    return (timestamp_ms >= EARLIEST.timestamp() * 1000) & (timestamp_ms < LATEST.timestamp() * 1000)


def _with_origin(table: pa.Table, places: NDArray[np.int64], batch: Records) -> pa.Table:
    """When and from where each row came."""
    utc = pa.timestamp("us", "UTC")
    millis = np.array(batch.timestamps_ms(), dtype=np.int64)[places]
    offsets = np.array(batch.offsets(), dtype=np.uint64)[places]
    occurred = table["occurred_at"].cast(utc)
    received = np.where(is_sane(millis), millis * 1000, occurred.cast(pa.int64()).to_numpy())
    table = table.set_column(table.schema.get_field_index("occurred_at"), "occurred_at", occurred)
    table = table.append_column("received_at", pa.array(received, utc))
    table = table.append_column("_topic", pa.repeat(pa.scalar(batch.topic, pa.string()), table.num_rows))
    table = table.append_column("_partition", pa.array(np.full(table.num_rows, batch.partition, dtype=np.uint32)))
    return table.append_column("_offset", pa.array(offsets))


def _aligned(batch: pa.RecordBatch, topic: str) -> pa.RecordBatch:
    """The newest schema's columns: a writer's extra ones are dropped, missing ones get the default."""
    schema, defaults = _wanted(topic)
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


def _refuse(table: pa.Table, topic: str) -> tuple[pa.Table, dict[int, str]]:
    """Rows that are well-formed but cannot be stored or found again: no id, a moment out of any clock's range."""
    refused: dict[int, str] = {}
    bad = np.zeros(table.num_rows, dtype=bool)
    for mask, reason in _rules(table, topic):
        hits = pc.fill_null(mask, False).to_numpy(zero_copy_only=False).astype(bool) & ~bad
        refused |= dict.fromkeys(table["_offset"].to_numpy()[hits].tolist(), reason)
        bad |= hits
    return (table.filter(pa.array(~bad)) if bad.any() else table), refused


def _rules(table: pa.Table, topic: str) -> list[tuple[Any, str]]:
    def outside(name: str, low: Any, high: Any) -> Any:
        return pc.or_(pc.less(table[name], low), pc.greater_equal(table[name], high))

    moments = [pa.scalar(moment, pa.timestamp("us", "UTC")) for moment in (EARLIEST, LATEST)]
    rules = [
        (outside("occurred_at", *moments), "field occurred_at: not between the years 2000 and 2100"),
        (pc.equal(table["prediction_id"], ""), "field prediction_id: empty, so no label could ever name it"),
        (pc.greater(pc.utf8_length(table["prediction_id"]), MAX_NAME_CHARS), "field prediction_id: too long"),
    ]
    if "model" in table.schema.names:
        rules += [
            (pc.equal(table["model"], ""), "field model: empty"),
            (pc.greater(pc.utf8_length(table["model"]), MAX_NAME_CHARS), "field model: longer than 256 characters"),
            (pc.greater(pc.utf8_length(table["variant"]), MAX_NAME_CHARS), "field variant: longer than 256 characters"),
            (outside("model_version", 0, 2**32), "field model_version: not between 0 and 4294967295"),
            (outside("route_sequence", 0, 2**63 - 1), "field route_sequence: negative"),
            (pc.less(table["text_length"], 0), "field text_length: negative"),
        ]
    return rules
