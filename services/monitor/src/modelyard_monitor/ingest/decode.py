"""Decode a batch of framed Avro messages to Arrow columns; isolate the ones that cannot be decoded.

The fast decoder (pyruhvro) does not locate an error, and accepts trailing bytes and invalid UTF-8. Therefore a failing
batch is halved until the bad message is alone; every decoded message must have the length that its values take in Avro;
and a suspicious message is decoded again by fastavro, whose verdict is final.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro
from numpy.typing import NDArray

from modelyard_contracts.codec import CONFLUENT_MAGIC, Codec, Undecodable, WriterSchema
from modelyard_contracts.topics import avro_schema
from modelyard_monitor.ingest.alignment import aligned_table, with_origin
from modelyard_monitor.ingest.avro_lengths import UnknownAvroType, avro_lengths
from modelyard_monitor.ingest.row_rules import refuse
from modelyard_runtime.kafka import Received, Records


@dataclass(frozen=True)
class BadRecord:
    """A record that is not a message of its topic, and why."""

    record: Received
    reason: str
    forged: bool = False
    """Whether no writer of its topic signed it."""


@dataclass
class Decoded:
    """Columns of the good records in order of their offsets, and the bad records.

    table: the columns of the topic's newest schema, then received_at, _topic, _partition, _offset.
    """

    table: pa.Table
    bad: list[BadRecord] = field(default_factory=list)


@dataclass
class _Part:
    """Decoded records of one writer schema: their positions in the batch, and their columns."""

    positions: Sequence[int]
    columns: pa.RecordBatch


class _DecoderRefused(Exception):
    """The fast decoder could not read one of the messages."""


def decode_columns(records: Sequence[Received], topic: str, codec: Codec) -> Decoded:
    """Decode the records of one partition. Retryable when an unknown schema cannot be fetched from the registry."""
    batch = Records.of(records)
    values = batch.values()
    bad: dict[int, str] = {}
    parts: list[_Part] = []
    for writer, start, positions in _by_writer(values, topic, codec, bad):
        bodies = [values[position][start:] for position in positions]  # type: ignore[index]  # _by_writer drops None
        parts.extend(_decode_part(bodies, positions, writer, bad))
    table, order = _in_order(parts, topic)
    table, refused = refuse(with_origin(table, order, batch))
    offsets = batch.offsets()
    bad |= {bisect_left(offsets, offset): reason for offset, reason in refused.items()}
    return Decoded(table, [BadRecord(batch[position], bad[position]) for position in sorted(bad)])


def _by_writer(
    values: Sequence[bytes | None], topic: str, codec: Codec, bad: dict[int, str]
) -> list[tuple[WriterSchema, int, Sequence[int]]]:
    """Return (schema, start of the body, positions) per writer schema."""
    found = []
    for positions in _by_header(values, bad):
        try:
            writer, start = codec.writer_schema(values[positions[0]] or b"")
            _check_name(writer, topic)
        except Undecodable as error:
            bad.update(dict.fromkeys(positions, str(error)))
        else:
            found.append((writer, start, positions))
    return found


def _by_header(values: Sequence[bytes | None], bad: dict[int, str]) -> list[Sequence[int]]:
    """Group positions by the schema id or fingerprint in front of the message."""
    heads = {value and value[:5] for value in values}
    if len(heads) == 1 and (heads.pop() or b"")[:1] == CONFLUENT_MAGIC:
        return [range(len(values))]  # the usual case
    groups: dict[bytes, list[int]] = {}
    for position, value in enumerate(values):
        if value is None:
            bad[position] = "a message without a value (a tombstone)"
        else:
            groups.setdefault(value[:5] if value[:1] == CONFLUENT_MAGIC else value[:10], []).append(position)
    return list(groups.values())


def _check_name(writer: WriterSchema, topic: str) -> None:
    wanted = avro_schema(topic)
    name = f"{wanted['namespace']}.{wanted['name']}"
    if writer.parsed.get("name") != name:
        raise Undecodable(f"holds a {writer.parsed.get('name')}, not a {name}")


def _decode_part(
    bodies: list[bytes], positions: Sequence[int], writer: WriterSchema, bad: dict[int, str]
) -> list[_Part]:
    try:
        columns = _columns(bodies, writer)
    except _DecoderRefused:
        return _decode_halves(bodies, positions, writer, bad)
    doubtful = _of_other_length(columns, bodies, writer)
    if not doubtful.size:
        return [_Part(positions, columns)]
    readable = np.setdiff1d(np.arange(len(bodies)), doubtful)
    good = [_Part([positions[i] for i in readable], columns.take(pa.array(readable)))] if readable.size else []
    return good + [part for i in doubtful for part in _decode_slowly(bodies[i], positions[i], writer, bad)]


def _decode_halves(
    bodies: list[bytes], positions: Sequence[int], writer: WriterSchema, bad: dict[int, str]
) -> list[_Part]:
    if len(bodies) == 1:
        return _decode_slowly(bodies[0], positions[0], writer, bad)
    half = len(bodies) // 2
    return [
        *_decode_part(bodies[:half], positions[:half], writer, bad),
        *_decode_part(bodies[half:], positions[half:], writer, bad),
    ]


def _columns(bodies: list[bytes], writer: WriterSchema) -> pa.RecordBatch:
    try:
        columns = pyruhvro.deserialize_array(bodies, writer.text)
        columns.validate(full=True)  # the decoder accepts invalid UTF-8
    except ValueError as error:
        raise _DecoderRefused from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust panics do not derive from Exception
            raise
        raise _DecoderRefused from error
    return columns


def _of_other_length(columns: pa.RecordBatch, bodies: list[bytes], writer: WriterSchema) -> NDArray[np.int64]:
    """Return positions of messages that are longer or shorter than their values: trailing bytes, unusual blocks."""
    given = np.fromiter(map(len, bodies), dtype=np.int64, count=len(bodies))
    try:
        lengths = avro_lengths(columns, writer.parsed)
    except UnknownAvroType:
        [written] = pyruhvro.serialize_record_batch(columns, writer.text, 1)
        lengths = pc.binary_length(written).to_numpy()
    return np.flatnonzero(lengths != given)


def _decode_slowly(body: bytes, position: int, writer: WriterSchema, bad: dict[int, str]) -> list[_Part]:
    stream = BytesIO(body)
    try:
        record = fastavro.schemaless_reader(stream, writer.parsed, None)
    except Exception as error:  # fastavro raises a dozen types on bad bytes; all of them mean the same here
        bad[position] = f"not an Avro body of {writer.parsed.get('name')}: {type(error).__name__}: {error}"
        return []
    if stream.tell() != len(body):
        bad[position] = f"{len(body) - stream.tell()} bytes too many after a {writer.parsed.get('name')}"
        return []
    schema = pyruhvro.avro_to_arrow_schema(writer.text)
    row = {name: _plain(value) for name, value in dict(record).items()}  # type: ignore[arg-type]
    try:
        return [_Part([position], pa.RecordBatch.from_pylist([row], schema=schema))]
    except (pa.ArrowException, ValueError, OverflowError) as error:
        bad[position] = f"does not fit into columns: {error}"
        return []


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return list(value.items()) if isinstance(value, dict) else value


def _in_order(parts: list[_Part], topic: str) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return all parts in order of their positions, and the positions."""
    table = aligned_table([part.columns for part in parts], topic)
    if not parts:
        return table, np.zeros(0, dtype=np.int64)
    positions = np.concatenate([np.asarray(part.positions, dtype=np.int64) for part in parts])
    if len(parts) > 1:
        order = np.argsort(positions)
        table, positions = table.take(pa.array(order)), positions[order]
    return table.combine_chunks(), positions
