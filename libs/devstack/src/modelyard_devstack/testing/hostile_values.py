"""What hostile requests are made of: bodies, values of fields, values of parameters, headers."""

from collections.abc import Iterator, Mapping
from typing import Final

JSON: Final = {"content-type": "application/json"}
LONG: Final = "n" * 5_000


def deep(size: int, opening: bytes = b"[") -> bytes:
    """An unfinished document of nested arrays or objects, `size` bytes long."""
    return (opening * size)[:size]


def nested(depth: int) -> bytes:
    """A complete document of nested arrays."""
    return b"[" * depth + b"]" * depth


def documents() -> Iterator[tuple[str, bytes]]:
    """Whole bodies, each with a name for messages."""
    for size in (2_000, 100_000, 1_000_000):
        yield f"{size} bytes of [", deep(size)
        yield f"{size} bytes of {{", deep(size, b'{"a":')
    yield "900 complete arrays", nested(900)
    yield "50,000 complete arrays", nested(50_000)
    yield from _TEXTS.items()
    for wrong in (b"null", b"true", b"7", b'"text"', b"[]", b"[{}]", b"{}", b"1e400", b"-0", b"1" * 5_000):
        yield f"the value {wrong[:20].decode()}", wrong
    yield "a body of a megabyte of text", b'"' + b"x" * 1_000_000 + b'"'


_TEXTS: Final[Mapping[str, bytes]] = {
    "an empty body": b"",
    "only spaces": b" \n\t ",
    "half a document": b'{"a": ',
    "two documents": b"{}{}",
    "a comment": b"{} // no",
    "invalid UTF-8": b'{"model": "\xff\xfe"}',
    "half a UTF-8 character": b'{"model": "\xc3"}',
    "a raw surrogate": b'{"model": "\xed\xa0\x80"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"model": "m"}'.encode("utf-16"),
    "null bytes": b"\x00" * 100,
    "a null byte in a text": b'{"model": "a\x00b"}',
    "duplicate keys": b'{"model": "a", "model": "b", "version": 1, "version": 2}',
    "NaN as the body": b"NaN",
    "Infinity as the body": b"-Infinity",
    "a very long key": b'{"' + b"k" * 100_000 + b'": 1}',
    "a surrogate as a key": b'{"\\ud800": 1}',
    "a key with a line break": b'{"a\\nb\\u001b[31m": 1}',
    "10,000 unknown keys": b"{" + b",".join(b'"k%d":%d' % (i, i) for i in range(10_000)) + b"}",
}

VALUES: Final[Mapping[str, bytes]] = {
    "null": b"null",
    "true": b"true",
    "0": b"0",
    "-1": b"-1",
    "1.5": b"1.5",
    "1e308": b"1e308",
    "1e400": b"1e400",
    "-1e400": b"-1e400",
    "5e-324": b"5e-324",
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "2**63": b"9223372036854775808",
    "2**64": b"18446744073709551616",
    "-2**63-1": b"-9223372036854775809",
    "10**400": b"1" + b"0" * 400,
    "10**5000": b"1" + b"0" * 5_000,
    "an empty text": b'""',
    "a space": b'" "',
    "a lone surrogate": b'"\\ud800"',
    "a lone surrogate within": b'"a\\udfffb"',
    "a null character": b'"a\\u0000b"',
    "line breaks and a terminal escape": b'"a\\r\\n\\u001b[31mb"',
    "a right-to-left mark": '"a\u202eb"'.encode(),
    "a character beyond 16 bits": '"\U0001f4a9"'.encode(),
    "100,000 characters": b'"' + b"x" * 100_000 + b'"',
    "a path": b'"../../etc/passwd"',
    "year 1 in the east": b'"0001-01-01T00:00:00+14:00"',
    "year 9999 in the west": b'"9999-12-31T23:59:59-14:00"',
    "a leap second": b'"9999-12-31T23:59:60Z"',
    "year 10000": b'"10000-01-01T00:00:00Z"',
    "a date without zone": b'"2026-01-01T00:00:00"',
    "a number as text": b'"1e400"',
    "an empty array": b"[]",
    "an empty object": b"{}",
    "nulls in an array": b"[null, null]",
    "60 nested arrays": nested(60),
    "3,000 nested arrays": nested(3_000),
    "an object in an object": b'{"a": {"b": {"c": [1, "\\ud800", null]}}}',
    "odd keys": b'{"": 1, "\\ud800": 2, "a\\u0000": 3, "__proto__": 4}',
    "10,000 numbers": b"[" + b",".join([b"7"] * 10_000) + b"]",
}
"""Values for a field, as JSON."""

PARTS: Final = (
    "%00",
    "a%00b",
    "%2F",
    "..%2F..%2Fetc",
    "%2e%2e",
    "%ff%fe",
    "%ED%A0%80",
    "%0d%0aset-cookie:%20a",
    "%1b%5b31m",
    "%F0%9F%92%A9",
    "%E2%80%AE",
    "%20",
    "a:b:c",
    ":",
    "-1",
    "0",
    "1.5",
    "NaN",
    "9223372036854775808",
    "1" + "0" * 400,
    "%D9%A1",
    "0001-01-01T00:00:00%2B14:00",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:60Z",
    "true",
    "%25",
    LONG,
)
"""Values of path and query parameters, as sent."""

HEADS: Final[Mapping[str, Mapping[str, str]]] = {
    "no content type": {},
    "text": {"content-type": "text/plain"},
    "XML": {"content-type": "application/xml"},
    "a form": {"content-type": "application/x-www-form-urlencoded"},
    "multipart without a boundary": {"content-type": "multipart/form-data"},
    "an unknown charset": {"content-type": "application/json; charset=klingon"},
    "a broken content type": {"content-type": "/;;=\xff"},
    "two lengths of a trace": {**JSON, "traceparent": "00-" + "f" * 400 + "-01"},
    "a correlation id of another form": {**JSON, "x-correlation-id": "\xff" * 100},
    "an absurd deadline": {**JSON, "x-modelyard-timeout-ms": "1e400"},
    "a negative deadline": {**JSON, "x-modelyard-timeout-ms": "-1"},
    "a session of 10,000 characters": {**JSON, "x-modelyard-session-id": "\xe9" * 10_000},
    "an event id beyond 64 bits": {**JSON, "last-event-id": "9" * 99},
    "an idempotency key of odd bytes": {**JSON, "idempotency-key": "\xff\x01" * 200},
    "an unknown encoding": {**JSON, "content-encoding": "gzip"},
    "a range": {**JSON, "range": "bytes=9999999999999999999999-1"},
    "a condition": {**JSON, "if-match": '"\xff"', "if-none-match": "*"},
}
