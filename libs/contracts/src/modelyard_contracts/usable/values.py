"""The rule for one value, in Python. Patterns are valid in Python and in RE2 (Arrow, ClickHouse)."""

import math
import re
from datetime import UTC, datetime
from typing import Final

from modelyard_contracts.signature import ColumnType

BLANK: Final = " \t\r\n\f\v"
"""Characters that are removed around a cell."""
MISSING_WORDS: Final = ("", "-", "?", "#n/a", "n/a", "na", "nan", "none", "null")
"""Cells, in lower case, that mean a missing value in columns of numbers, booleans and timestamps."""
MISSING_LABELS: Final = ("", "?", "#n/a", "n/a", "na", "nan", "null")
"""Cells, in lower case, that mean a missing label of a classifier."""
NUMBER_PATTERN: Final = "[+-]?(?:(?:0|[1-9][0-9]*)(?:[.][0-9]*)?|[.][0-9]+)(?:[eE][+-]?[0-9]+)?"
INTEGER_PATTERN: Final = "[+-]?(?:0|[1-9][0-9]{0,17})"
"""At most 18 digits: any such number is an int64."""
INFINITE_PATTERN: Final = "[+-]?(?:[iI][nN][fF]|[iI][nN][fF][iI][nN][iI][tT][yY])"
TIMESTAMP_PATTERN: Final = (
    "[0-9]{4}-[0-9]{2}-[0-9]{2}"
    "(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]{1,9})?)?(?: ?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2}))?)?"
)
LARGEST_NUMBER: Final = 3.4028234663852886e38
"""The largest float32: several estimators compute in float32, so larger magnitudes count as missing."""
LARGEST_INTEGER: Final = 2.0**63
BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}
_NUMBER: Final = re.compile(NUMBER_PATTERN)
_INTEGER: Final = re.compile(INTEGER_PATTERN)
_INFINITE: Final = re.compile(INFINITE_PATTERN)
_OFFSET: Final = re.compile("[0-9] ?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})$")
_TIMESTAMP: Final = re.compile(TIMESTAMP_PATTERN)


def is_missing_label(cell: str) -> bool:
    """Return True for a cell that has no value in a target of classes, where `-` and `none` may be classes."""
    return cell.strip(BLANK).lower() in MISSING_LABELS


def is_missing(cell: str) -> bool:
    """Return True for a cell that has no value in a column of numbers, booleans or timestamps."""
    return cell.strip(BLANK).lower() in MISSING_WORDS


def parse_number(cell: str) -> float | None:
    """The number in a cell, infinite where the cell says so or a double cannot hold it; None for any other text."""
    text = cell.strip(BLANK)
    return float(text) if _NUMBER.fullmatch(text) or _INFINITE.fullmatch(text) else None


def is_integer(cell: str) -> bool:
    """Return True for a whole number without fraction or exponent that fits in 64 bits."""
    return _INTEGER.fullmatch(cell.strip(BLANK)) is not None


def usable_number(value: float | None) -> bool:
    """Return True for a number that models compute with: finite, and within float32."""
    return value is not None and math.isfinite(value) and abs(value) <= LARGEST_NUMBER


def parse_boolean(cell: str) -> bool | None:
    """The boolean in a cell (`true`, `false`, `1`, `0`); None for any other text."""
    return BOOLEANS.get(cell.strip(BLANK).lower())


def parse_timestamp(cell: str) -> datetime | None:
    """The moment in a cell, in UTC; without a zone it is UTC. None unless it is ISO 8601 (`2026-01-31T12:00:00Z`)."""
    text = cell.strip(BLANK)
    if _TIMESTAMP.fullmatch(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper().replace(" +", "+").replace(" -", "-").replace(" Z", "Z"))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def has_offset(cell: str) -> bool:
    """Return True for a timestamp that names its offset from UTC, which requests need."""
    return _OFFSET.search(cell.strip(BLANK)) is not None


def cell_value(cell: str, type_: ColumnType) -> float | int | bool | datetime | str | None:
    """The value of a file's cell in a column of a type, None where missing; ValueError if it is not of the type."""
    text = cell.strip(BLANK)
    if not type_.numeric:
        return text or None
    if text.lower() in MISSING_WORDS:
        return None
    value = _typed(text, type_)
    if value is None:
        raise ValueError(f"{text[:40]!r} is not of the type {type_.value}")
    return value


def _typed(text: str, type_: ColumnType) -> float | int | bool | datetime | None:
    if type_ is ColumnType.BOOLEAN:
        return parse_boolean(text)
    if type_ is ColumnType.TIMESTAMP:
        return parse_timestamp(text)
    number = parse_number(text)
    if type_ is not ColumnType.INTEGER or number is None:
        return number
    if is_integer(text):
        return int(text)
    return int(number) if number.is_integer() and abs(number) < LARGEST_INTEGER else None


def label_of(value: object) -> str:
    """A class as text: `1` for 1 and 1.0, `true` for True."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
