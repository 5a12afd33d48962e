"""Avro schemas: parsing, identity, fingerprints, compatibility."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import avro.errors
import avro.schema
import fastavro
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from fastavro.schema import fingerprint, to_parsing_canonical_form

from modelyard_contracts.sentences import plain
from modelyard_runtime.errors import Invalid

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
NAMED: Final = frozenset({"record", "error", "enum", "fixed"})
LEVELS: Final = (
    "NONE",
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
)
DEFAULT_LEVEL: Final = "FULL_TRANSITIVE"
_LOGICAL: Final = ("logicalType", "precision", "scale")


class InvalidSchema(Invalid):
    code = "invalid_schema"


@dataclass(frozen=True)
class AvroSchema:
    """A valid schema. identity: equal for texts with the same meaning, defaults and docs included."""

    text: str
    identity: str
    fingerprint: str
    """CRC-64-AVRO in wire order, hexadecimal; ignores defaults and docs."""


@lru_cache(maxsize=1_024)
def parse(text: str) -> AvroSchema:
    """Parse `text`; InvalidSchema gives the reason when it is not a schema."""
    try:
        document = json.loads(text)
        avro.schema.parse(text)
        normalised = _normal(fastavro.parse_schema(document, _write_hint=False))
        hexadecimal = fingerprint(to_parsing_canonical_form(document), "CRC-64-AVRO")
    except RecursionError as error:
        raise InvalidSchema("the schema is nested too deeply") from error
    except ValueError as error:
        raise InvalidSchema(f"not an Avro schema: {_problem_of(error)}") from error
    except Exception as error:  # two parsers, a dozen exception types, one meaning
        raise InvalidSchema(f"not an Avro schema: {plain(str(error), 300)}") from error
    canonical = json.dumps(normalised, sort_keys=True, separators=(",", ":"))
    return AvroSchema(text, hashlib.sha256(canonical.encode()).hexdigest(), hexadecimal)


def _normal(schema: Any) -> Any:
    """`{"type": "string"}` is "string", and the marks of the parser are left out."""
    if isinstance(schema, list):
        return [_normal(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _normal(value) if key != "default" else value for key, value in schema.items() if key[:2] != "__"}
    return kept["type"] if kept.keys() == {"type"} and isinstance(kept["type"], str) else kept


def incompatibilities(new: str, older: list[str], level: str) -> list[str]:
    """Return why `new` may not follow `older` (oldest first) at this level; empty when it may."""
    if level == "NONE" or not older:
        return []
    against = older if level.endswith("_TRANSITIVE") else older[-1:]
    kind = level.removesuffix("_TRANSITIVE")
    found: list[str] = []
    for text in reversed(against):
        if kind in ("BACKWARD", "FULL"):
            found += [f"the new schema cannot read the older: {why}" for why in _cannot_read(new, text)]
        if kind in ("FORWARD", "FULL"):
            found += [f"the older schema cannot read the new: {why}" for why in _cannot_read(text, new)]
    return found


def _cannot_read(reader: str, writer: str) -> list[str]:
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    reading = avro.schema.parse(json.dumps(_with_full_aliases(_resolved(reader))))
    result = checker.get_compatibility(reading, avro.schema.parse(writer))
    if result.compatibility is not SchemaCompatibilityType.compatible:
        return sorted(f"{place or '/'}: {why}" for why, place in _reasons(result)) or ["they do not resolve"]
    return _Differences().between(_resolved(reader), _resolved(writer))


def _with_full_aliases(schema: Any) -> Any:
    """An alias without a namespace is in its type's own; avro's checker takes it literally."""
    if isinstance(schema, list):
        return [_with_full_aliases(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {key: value if key == "default" else _with_full_aliases(value) for key, value in schema.items()}
    if _kind(schema) in NAMED and "aliases" in schema:
        whole["aliases"] = sorted(_full_aliases(schema))
    return whole


def _reasons(result: Any) -> list[tuple[str, str]]:
    places = sorted(result.locations) or [""]
    return [(message, places[0]) for message in sorted(result.messages)]


def _resolved(text: str) -> Any:
    return fastavro.parse_schema(json.loads(text), _write_hint=False)


class _Differences:
    """Differences that avro's checker ignores: namespaces of named types, and logical types with their numbers."""

    def __init__(self) -> None:
        self._reader_names: dict[str, Any] = {}
        self._writer_names: dict[str, Any] = {}
        self._seen: set[tuple[str, str]] = set()

    def between(self, reader: Any, writer: Any, place: str = "") -> list[str]:
        _collect(reader, self._reader_names)
        _collect(writer, self._writer_names)
        return self._walk(reader, writer, place)

    def _walk(self, reader: Any, writer: Any, place: str) -> list[str]:
        reader, writer = self._reader_names.get(_text(reader), reader), self._writer_names.get(_text(writer), writer)
        if isinstance(reader, list) or isinstance(writer, list):
            return self._unions(_branches(reader), _branches(writer), place)
        kind, other = _kind(reader), _kind(writer)
        if kind in NAMED and other in NAMED:
            return self._named(reader, writer, place)
        found = _logical(reader, writer, place)
        for key, step in (("items", "[]"), ("values", "{}")):
            if kind == other and isinstance(reader, dict) and key in reader:
                found += self._walk(reader[key], writer[key], f"{place}/{step}")
        return found

    def _unions(self, readers: list[Any], writers: list[Any], place: str) -> list[str]:
        """Each written branch against the branch it will be read as: the same kind, for named types the same name."""
        found: list[str] = []
        for writer in writers:
            tried = [self._walk(reader, writer, place) for reader in readers if self._alike(reader, writer)]
            if tried and all(tried):
                found += tried[0]
        return found

    def _alike(self, reader: Any, writer: Any) -> bool:
        reader, writer = self._reader_names.get(_text(reader), reader), self._writer_names.get(_text(writer), writer)
        return _kind(reader) == _kind(writer)

    def _named(self, reader: Any, writer: Any, place: str) -> list[str]:
        pair = (str(reader["name"]), str(writer["name"]))
        if pair in self._seen:
            return []
        self._seen.add(pair)
        if pair[0] != pair[1] and pair[1] not in _full_aliases(reader):
            return [f"{place or '/'}: {pair[1]} is read as {pair[0]}, which has neither its full name nor its alias"]
        found = _logical(reader, writer, place)
        written = {field["name"]: field for field in writer.get("fields", ())}
        for field in reader.get("fields", ()):
            twin = next((written[name] for name in (field["name"], *field.get("aliases", ())) if name in written), None)
            if twin is not None:
                found += self._walk(field["type"], twin["type"], f"{place}/{field['name']}")
        return found


def _collect(schema: Any, names: dict[str, Any]) -> None:
    if isinstance(schema, list):
        for one in schema:
            _collect(one, names)
    elif isinstance(schema, dict):
        if _kind(schema) in NAMED:
            names[schema["name"]] = schema
        for field in schema.get("fields", ()):
            _collect(field["type"], names)
        for key in ("items", "values", "type"):
            if isinstance(schema.get(key), dict | list):
                _collect(schema[key], names)


def _kind(schema: Any) -> str:
    return str(schema.get("type")) if isinstance(schema, dict) else str(schema)


def _text(schema: Any) -> str:
    return schema if isinstance(schema, str) else ""


def _branches(schema: Any) -> list[Any]:
    return schema if isinstance(schema, list) else [schema]


def _full_aliases(schema: dict[str, Any]) -> set[str]:
    space = str(schema["name"]).rpartition(".")[0]
    return {alias if "." in alias or not space else f"{space}.{alias}" for alias in schema.get("aliases", ())}


def _logical(reader: Any, writer: Any, place: str) -> list[str]:
    pair = [tuple(_attribute(schema, key) for key in _LOGICAL) for schema in (writer, reader)]
    if pair[0] == pair[1]:
        return []
    return [f"{place or '/'}: logical type {_logical_text(pair[0])} is read as {_logical_text(pair[1])}"]


def _attribute(schema: Any, key: str) -> Any:
    value = schema.get(key) if isinstance(schema, dict) else None
    decimal = isinstance(schema, dict) and schema.get("logicalType") == "decimal"
    return 0 if value is None and key == "scale" and decimal else value


def _logical_text(logical: tuple[Any, ...]) -> str:
    name, precision, scale = logical
    return str(name or "none") if precision is None else f"{name}({precision}, {scale or 0})"


def _problem_of(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"the text is not JSON at line {error.lineno}, column {error.colno}; send the schema as JSON"
    return plain(str(error), 300)
