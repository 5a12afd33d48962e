"""Encoding and decoding of messages, in the two framings that are accepted on every topic.

Confluent framing (`00`, 4-byte schema id) is written; single-object encoding (`C3 01`, 8-byte fingerprint) is accepted
too, so that an upstream can produce with only our `.avsc` files. Anything else is `Undecodable`, with its reason.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from io import BytesIO
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from pydantic import ValidationError

from modelyard_contracts.messages.base import Message
from modelyard_contracts.sentences import explain
from modelyard_contracts.topics import all_topics, avro_schema, schema_text, topic

CONFLUENT_MAGIC: Final = b"\x00"
SINGLE_OBJECT_MAGIC: Final = b"\xc3\x01"
CONFLUENT_HEADER_BYTES: Final = 5
SINGLE_OBJECT_HEADER_BYTES: Final = 10

M = TypeVar("M", bound=Message)


class Undecodable(ValueError):
    """The bytes are not a message of this topic; they belong in its dead letters."""

    retryable = False
    code = "undecodable"


class UnknownSchemaId(Undecodable):
    """The framing is valid but the schema registry does not know the schema."""

    code = "unknown_schema"


@dataclass(frozen=True)
class WriterSchema:
    """Schema that a message was written with."""

    schema_id: int | None
    """None in single-object encoding."""
    text: str
    parsed: Any
    """As parsed by fastavro."""


class SchemaLookup(Protocol):
    """Lookup of schemas that are not part of this release."""

    def by_id(self, schema_id: int) -> str | None:
        """Return the schema's text or None; may block on the network, so the codec caches the answer."""

    def by_fingerprint(self, hexadecimal: str) -> str | None:
        """Return the schema's text or None, by its CRC-64-AVRO fingerprint in wire order."""


@cache
def _parse(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text))


@cache
def _own_schemas() -> dict[int, WriterSchema]:
    return {
        schema_id: WriterSchema(schema_id, text, _parse(text))
        for spec in all_topics()
        for version, schema_id in enumerate(spec.schema_ids, start=1)
        for text in (schema_text(spec.name, version),)
    }


def schema_fingerprint(text: str) -> bytes:
    """Return the CRC-64-AVRO of the parsing canonical form, 8 bytes in wire order."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(json.loads(text)), "CRC-64-AVRO"))


@cache
def _own_fingerprints() -> dict[bytes, WriterSchema]:
    return {schema_fingerprint(own.text): WriterSchema(None, own.text, own.parsed) for own in _own_schemas().values()}


class Codec:
    """Encodes with the newest schema of a topic; decodes with the writer's schema into the newest.

    lookup: finds schemas that are not part of this release. Safe to share between threads.
    """

    def __init__(self, lookup: SchemaLookup | None = None) -> None:
        self._lookup = lookup
        self._found: dict[int | bytes, WriterSchema] = {}

    def encode(self, message: Message) -> bytes:
        """Encode in Confluent framing with the newest schema of the message's topic."""
        schema_id, parsed = _newest(message.TOPIC)
        return CONFLUENT_MAGIC + schema_id.to_bytes(4, "big") + _body(parsed, message)

    def encode_single_object(self, message: Message) -> bytes:
        """Encode in single-object encoding, as an upstream without a schema registry would."""
        _, parsed = _newest(message.TOPIC)
        return SINGLE_OBJECT_MAGIC + schema_fingerprint(schema_text(message.TOPIC)) + _body(parsed, message)

    def writer_schema(self, data: bytes) -> tuple[WriterSchema, int]:
        """Return the writer schema of `data` and the offset of its body; Undecodable when there is none."""
        if data[:1] == CONFLUENT_MAGIC and len(data) >= CONFLUENT_HEADER_BYTES:
            return self._by_id(int.from_bytes(data[1:5], "big")), CONFLUENT_HEADER_BYTES
        if data[:2] == SINGLE_OBJECT_MAGIC and len(data) >= SINGLE_OBJECT_HEADER_BYTES:
            return self._by_fingerprint(bytes(data[2:10])), SINGLE_OBJECT_HEADER_BYTES
        raise Undecodable(f"neither Confluent framing nor single-object encoding: {len(data)} bytes, {data[:10].hex()}")

    def decode(self, data: bytes | None, expected: type[M]) -> M:
        """Decode a message of the expected type; Undecodable states why it is not one."""
        if data is None:
            raise Undecodable("a message without a value (a tombstone)")
        writer, start = self.writer_schema(data)
        record = _read(data, start, writer, expected)
        try:
            return expected.model_validate(record)
        except ValidationError as error:
            raise Undecodable(f"field {explain(error).sentence}") from error

    def _by_id(self, schema_id: int) -> WriterSchema:
        own = _own_schemas().get(schema_id)
        return own or self._ask(schema_id, schema_id, lambda lookup: lookup.by_id(schema_id), f"schema id {schema_id}")

    def _by_fingerprint(self, print_: bytes) -> WriterSchema:
        own = _own_fingerprints().get(print_)
        hexadecimal = print_.hex()
        return own or self._ask(
            print_, None, lambda lookup: lookup.by_fingerprint(hexadecimal), f"schema fingerprint {hexadecimal}"
        )

    def _ask(
        self, key: int | bytes, schema_id: int | None, ask: Callable[[SchemaLookup], str | None], name: str
    ) -> WriterSchema:
        if key not in self._found:
            text = ask(self._lookup) if self._lookup else None
            if text is None:
                raise UnknownSchemaId(f"{name} is not known to the schema registry")
            self._found[key] = WriterSchema(schema_id, text, _parse(text))
        return self._found[key]


@cache
def _newest(topic_name: str) -> tuple[int, Any]:
    """Return id and parsed form of a topic's newest schema."""
    return topic(topic_name).schema_ids[-1], _parse(schema_text(topic_name))


def _body(parsed: Any, message: Message) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, parsed, avro_record(message))
    return out.getvalue()


def avro_record(message: Message) -> dict[str, Any]:
    """Return the message as fastavro expects it: ids and enums as strings, timestamps as aware datetimes."""
    plain: dict[str, Any] = _plain(message.model_dump(by_alias=True))
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, UUID) else value


def _read(data: bytes, start: int, writer: WriterSchema, expected: type[Message]) -> Any:
    wanted = avro_schema(expected.TOPIC)
    name = f"{wanted['namespace']}.{wanted['name']}"
    if writer.parsed.get("name") != name:
        raise Undecodable(f"holds a {writer.parsed.get('name')}, not a {name}")
    stream = BytesIO(data)
    stream.seek(start)
    try:
        record = fastavro.schemaless_reader(stream, writer.parsed, _newest(expected.TOPIC)[1])
    except Exception as error:  # fastavro raises a dozen types on bad bytes; all mean the same here
        raise Undecodable(f"not an Avro body of {name}: {type(error).__name__}: {error}") from error
    if stream.tell() != len(data):
        raise Undecodable(f"{len(data) - stream.tell()} trailing bytes after a {name}")
    return record


DEFAULT_CODEC: Final = Codec()
encode = DEFAULT_CODEC.encode
decode = DEFAULT_CODEC.decode

__all__ = [
    "DEFAULT_CODEC",
    "Codec",
    "SchemaLookup",
    "Undecodable",
    "UnknownSchemaId",
    "WriterSchema",
    "decode",
    "encode",
]
