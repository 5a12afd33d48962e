"""Errors of msgspec as sentences: the field, the problem and the remedy, in the words of JSON."""

import re
from typing import Final

import msgspec

from modelyard_contracts.sentences import Explained, plain

_HALF_PAIR: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]"
)
_PLACE: Final = re.compile(r" - at `(?:key in )?\$(.*)`$", re.DOTALL)
_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_LENGTH: Final = re.compile(r"of length (<=|>=) (\d+)")
_WORDS: Final = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
    "datetime": "a time such as 2026-01-31T12:00:00Z",
}


def explain_syntax(body: bytes, error: Exception) -> str:
    """Describe in one phrase why a body cannot be read as JSON."""
    if isinstance(error, RecursionError):
        return "the body is nested too deeply; tensor data has at most two levels of arrays"
    if isinstance(error, UnicodeError):
        return "the body is not UTF-8"
    if _HALF_PAIR.search(body):
        return "a string holds half of a surrogate pair, which is no character; send whole characters"
    if not body.strip():
        return "the body is empty"
    found = _BYTE.search(str(error))
    return f"the body is not JSON{f' at byte {found[1]}' if found else ': it ends too early'}"


def explain_decode(body: bytes, error: Exception) -> Explained:
    """An error of a msgspec decoder; the field is empty when the whole body is at fault."""
    if not isinstance(error, msgspec.ValidationError):
        return Explained("", explain_syntax(body, error))
    message = str(error)
    found = _PLACE.search(message)
    place = plain(found[1].lstrip(".")) if found else ""
    what = message[: found.start()] if found else message
    if named := re.search(r"(missing required|unknown) field `(.*)`", what, re.DOTALL):
        problem = "is missing; send it" if named[1].startswith("missing") else "is not a known field; remove it"
        return Explained(".".join(part for part in (place, plain(named[2])) if part), problem)
    return Explained(place or "body", _problem(what))


def _problem(what: str) -> str:
    """What a value must be, after `Expected ..., got ...`."""
    if "out of range" in what:
        return "the number is out of the range of a double; send a finite number"
    if "RFC3339" in what or "timezone" in what:
        return f"must be {_WORDS['datetime']}, with its offset"
    if length := _LENGTH.search(what):
        unit = "entries" if "array" in what else "characters"
        return f"must have {'at most' if length[1] == '<=' else 'at least'} {length[2]} {unit}"
    if "matching regex" in what:
        return "must be printable ASCII characters without spaces"
    kinds = re.findall(r"`([^`]*)`", what.partition(", got")[0])
    wanted = [_WORDS[kind] for kind in " | ".join(kinds).split(" | ") if kind in _WORDS]
    return f"must be {' or '.join(wanted)}" if wanted else "has a value that is not allowed"
