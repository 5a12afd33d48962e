"""Explain a failed decode: the field, the problem and the remedy. Slow, and only used after an error."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

import msgspec

from modelyard_contracts.inference import parse_timestamp
from modelyard_contracts.inference.errors import shown
from modelyard_contracts.inference.sentences import explain_decode, explain_syntax
from modelyard_contracts.signature import Column, ColumnType, Signature
from modelyard_router.domain.errors import BrokenContract

MAX_VIOLATIONS: Final = 20
MAX_NAMES: Final = 20
_BYTE: Final = re.compile(r"byte (\d+)")
_NOT_JSON: Final = re.compile(rb"-?(NaN|Infinity|inf|nan)")
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')
_LAST_NAME: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*-?\s*[0-9.eE+-]*$')
_IDS: Final = (
    ("entity_key", re.compile(r".{1,1024}", re.DOTALL), "a string of 1 to 1024 characters"),
    ("prediction_id", re.compile(r"[!-~]{1,200}"), "a string of 1 to 200 printable ASCII characters without spaces"),
)
_KNOWN: Final = ("features", "entity_key", "prediction_id")


def explain(body: bytes, signature: Signature, error: Exception) -> NoReturn:
    """Raise BrokenContract for a body that the contract's decoder refused with `error`."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as broken:
        _explain_syntax(body, broken)
    _raise(list(_violations(value, signature)))
    explained = explain_decode(body, error)
    raise BrokenContract(explained.sentence, field=explained.field)


def explain_features(given: Any, signature: Signature) -> None:
    """Raise BrokenContract if features do not match the signature."""
    _raise(list(feature_violations(given, signature)))


def _raise(violations: list[tuple[str, str]]) -> None:
    if not violations:
        return
    field, detail = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    errors = [{"field": name, "detail": text} for name, text in violations[:MAX_VIOLATIONS]]
    raise BrokenContract(f"{detail}{more}", field=field, errors=errors)


def _explain_syntax(body: bytes, error: Exception) -> NoReturn:
    message = str(error)
    found = _BYTE.search(message)
    place = int(found[1]) if found else _first_infinite(body)
    name = _name_before(body, place)
    where = f"feature {shown(name)}: " if name else ""
    token = _NOT_JSON.match(body, place) or _NOT_JSON.match(body, max(place - 1, 0))
    if token:
        raise BrokenContract(
            f"{where}{token[0].decode()} is not JSON; send null for a missing value, and a finite number otherwise",
            field=name,
        )
    if "out of range" in message:
        raise BrokenContract(f"{where}the number is out of the range of a double; send a finite number", field=name)
    raise BrokenContract(f'{explain_syntax(body, error)}; send an object such as {{"features": {{...}}}}')


def _first_infinite(body: bytes) -> int:
    """Offset of the first number that a double cannot hold; 0 when there is none."""
    for token in _TOKEN.finditer(body):
        if token[0][:1] != b'"' and math.isinf(float(token[0])):
            return token.start()
    return 0


def _name_before(body: bytes, place: int) -> str | None:
    """The object key whose value is at offset `place`."""
    for end in (place, place + 1):
        if found := _LAST_NAME.search(body[max(0, end - 500) : end]):
            return found[1].decode("utf-8", "replace")
    return None


def _violations(value: Any, signature: Signature) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield "body", 'the body is not an object; send {"features": {...}}'
        return
    for name in sorted(value.keys() - set(_KNOWN)):
        yield name, f"{shown(name)}: not a field of a prediction request; known are {', '.join(_KNOWN)}"
    for name, pattern, wanted in _IDS:
        given = value.get(name)
        if given is not None and not (isinstance(given, str) and pattern.fullmatch(given)):
            yield name, f"{name}: must be {wanted}, or left out"
    if "features" not in value:
        yield "features", "features: missing; send an object of feature values, or a list in the signature's order"
        return
    yield from feature_violations(value["features"], signature)


def feature_violations(given: Any, signature: Signature) -> Iterator[tuple[str, str]]:
    """(column, sentence) for each violation of the signature."""
    names = [column.name for column in signature.columns]
    if isinstance(given, list | tuple):
        if len(given) != len(names):
            yield "features", f"features: {len(given)} values; this version takes {len(names)}: {_listed(names)}"
            return
        given = dict(zip(names, given, strict=True))
    if not isinstance(given, Mapping):
        yield "features", "features: must be an object of feature values, or a list in the signature's order"
        return
    for name in sorted(given.keys() - set(names)):
        yield name, f"feature {shown(name)}: not known to this version; remove it (known: {_listed(names)})"
    for column in signature.columns:
        if column.name not in given:
            remedy = "send it, as null when the value is missing" if column.nullable else "send it"
            yield column.name, f"feature {shown(column.name)}: absent; {remedy}"
        elif problem := _problem(given[column.name], column):
            yield column.name, f"feature {shown(column.name)}: {problem}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(map(shown, names[:MAX_NAMES])) + more


def _problem(value: Any, column: Column) -> str | None:
    if value is None:
        return None if column.nullable else "null is not allowed; send a value"
    if column.type in (ColumnType.CATEGORY, ColumnType.TEXT):
        return _text_problem(value, column)
    if column.type is ColumnType.BOOLEAN:
        return None if isinstance(value, bool) else f"{_quoted(value)} is not a boolean; send true or false"
    if column.type is ColumnType.TIMESTAMP and isinstance(value, str):
        return _timestamp_problem(value)
    if isinstance(value, str):
        return f"{_quoted(value)} is a string; send a number without quotes"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{_quoted(value)} is not a number; send a number"
    if column.type is ColumnType.INTEGER and not float(value).is_integer():
        return f"{_quoted(value)} is not a whole number; send a number without a fraction"
    return None


def _text_problem(value: Any, column: Column) -> str | None:
    if not isinstance(value, str):
        return f"{_quoted(value)} is not a string; send a string"
    if column.max_length is not None and len(value) > column.max_length:
        return f"{len(value)} characters; send at most {column.max_length}"
    return None


def _timestamp_problem(value: str) -> str | None:
    try:
        parse_timestamp(value)
    except (ValueError, OverflowError):
        return (
            f"{_quoted(value)} is no RFC 3339 timestamp; send one such as 2026-01-31T12:00:00Z, or seconds since 1970"
        )
    return None


def _quoted(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 40 else f"{text[:37]}..."
