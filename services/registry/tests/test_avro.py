"""Compatibility of Avro schemas, case by case as the specification has it."""

import json
from typing import Any

import pytest

from modelyard_contracts.topics import all_topics, schema_text
from modelyard_registry.domain.avro import InvalidSchema, incompatibilities, parse


def record(*fields: Any, name: str = "A", **more: Any) -> str:
    return json.dumps({"type": "record", "name": name, "namespace": "x", "fields": list(fields), **more})


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def map_of(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


INNER = {"type": "record", "name": "I", "fields": [field("x", "int")]}
ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
ENUM_MORE = {"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}
ENUM_MORE_DEFAULT = {**ENUM_MORE, "default": "A"}
ENUM_DEFAULT = {**ENUM, "default": "A"}
BASE = record(field("a", "string"))
CASES = [
    # older, newer, backward, forward
    (BASE, record(field("a", "string"), field("b", "int", default=0)), True, True),
    (BASE, record(field("a", "string"), field("b", "int")), False, True),
    (record(field("a", "string"), field("b", "int", default=0)), BASE, True, True),
    (record(field("a", "string"), field("b", "int")), BASE, True, False),
    (record(field("a", "int")), record(field("a", "long")), True, False),
    (record(field("a", "int")), record(field("a", "double")), True, False),
    (BASE, record(field("a", "bytes")), True, True),
    (BASE, record(field("a", "int")), False, False),
    (BASE, record(field("a", ["null", "string"])), True, False),
    (BASE, record(field("b", "string", aliases=["a"])), True, False),
    (record(field("a", ENUM)), record(field("a", ENUM_MORE)), True, False),
    (record(field("a", ENUM_DEFAULT)), record(field("a", ENUM_MORE_DEFAULT)), True, True),
    (BASE, record(field("a", "string"), name="B"), False, False),
    (BASE, record(field("a", "string"), name="B", aliases=["A"]), True, False),
    (BASE, record(field("a", "string"), namespace="y"), False, False),
    (BASE, record(field("a", "string"), namespace="y", aliases=["x.A"]), True, False),
    (record(field("a", array("int"))), record(field("a", array("long"))), True, False),
    (record(field("a", map_of("int"))), record(field("a", map_of("string"))), False, False),
    (record(field("t", "long")), record(field("t", logical("long", "timestamp-micros"))), False, False),
    (
        record(field("t", logical("long", "timestamp-micros"))),
        record(field("t", logical("long", "timestamp-millis"))),
        False,
        False,
    ),
    (
        record(field("d", logical("bytes", "decimal", precision=5, scale=2))),
        record(field("d", logical("bytes", "decimal", precision=5, scale=1))),
        False,
        False,
    ),
    (
        record(field("d", logical("bytes", "decimal", precision=5))),
        record(field("d", logical("bytes", "decimal", precision=5, scale=0))),
        True,
        True,
    ),
    (
        record(field("t", ["null", logical("long", "timestamp-micros")])),
        record(field("t", ["null", logical("long", "timestamp-millis")])),
        False,
        False,
    ),
    (
        record(field("r", array(INNER))),
        record(field("r", array({**INNER, "namespace": "z"}))),
        False,
        False,
    ),
    (
        record(field("next", ["null", "A"], default=None)),
        record(field("next", ["null", "A"], default=None), field("b", "int", default=1)),
        True,
        True,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("older", "newer", "backward", "forward"), CASES, ids=map(str, range(len(CASES))))
def test_levels_say_who_must_be_able_to_read_whom(older: str, newer: str, backward: bool, forward: bool) -> None:
    verdicts = {
        level: not incompatibilities(newer, [older], level) for level in ("BACKWARD", "FORWARD", "FULL", "NONE")
    }
    assert verdicts == {"BACKWARD": backward, "FORWARD": forward, "FULL": backward and forward, "NONE": True}


def test_transitive_looks_at_all_before_and_plain_at_the_last() -> None:
    first = record(field("a", "string"))
    second = record(field("a", "string"), field("b", "int", default=0))
    third = record(field("a", "string"), field("b", "string", default=""))
    assert incompatibilities(third, [first, second], "FULL")
    assert not incompatibilities(third, [second, first], "FULL")
    assert incompatibilities(third, [second, first], "FULL_TRANSITIVE")


def test_our_own_schemas_can_be_read_and_follow_themselves() -> None:
    for spec in all_topics():
        text = schema_text(spec.name)
        assert not incompatibilities(parse(text).text, [text], "FULL_TRANSITIVE"), spec.name


def test_schemas_that_mean_the_same_are_the_same() -> None:
    assert parse('"string"').identity == parse('{"type": "string"}').identity
    spaced = json.dumps(json.loads(BASE), indent=4)
    assert parse(BASE).identity == parse(spaced).identity
    assert parse(BASE).identity != parse(record(field("a", "string", default=""))).identity
    assert parse(BASE).fingerprint == parse(record(field("a", "string", default=""))).fingerprint


def test_the_fingerprint_is_in_wire_order() -> None:
    assert parse('"null"').fingerprint == "8a8f25cce724dd63"  # 0x63dd24e7cc258f8a, little-endian


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "1", "null", '"nope"', "[" * 5000, '{"type":"record"}', '{"type":"record","name":"a b","fields":[]}',
        '{"type":"record","name":"a","fields":[{"name":"x","type":"int","default":"s"}]}',
        '{"type":"enum","name":"e","symbols":["A","A"]}', '["null","null"]', '{"type":"array"}',
        '{"type":"record","name":"a","fields":[{"name":"x","type":"missing.B"}]}',
        '{"type":"fixed","name":"f","size":-1}',
    ],
)  # fmt: skip
def test_what_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(InvalidSchema):
        parse(text)
