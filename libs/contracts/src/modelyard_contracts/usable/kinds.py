"""The type of a file's column, from its distinct cells."""

from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Final

from modelyard_contracts.signature import ColumnType
from modelyard_contracts.usable.values import BLANK, is_integer, is_missing, parse_number, parse_timestamp

MIN_TEXT_CHARACTERS: Final = 30
"""Median length above which a column of many different strings is text."""
MIN_TEXT_DISTINCT: Final = 0.5
"""Share of different cells in a text column; alternatively more than MAX_CATEGORIES of them."""
MAX_CATEGORIES: Final = 100
STRAY_SHARE: Final = 0.1
"""A column with at most this share of other cells is a column of numbers or timestamps with mistakes in it."""

_WORDS: Final = {"true", "false"}
_TESTS: Final[tuple[tuple[ColumnType, Callable[[str], bool]], ...]] = (
    (ColumnType.BOOLEAN, lambda cell: cell.lower() in _WORDS),
    (ColumnType.INTEGER, is_integer),
    (ColumnType.NUMBER, lambda cell: parse_number(cell) is not None),
    (ColumnType.TIMESTAMP, lambda cell: parse_timestamp(cell) is not None),
)
"""In this order: the first type that all cells have."""


def column_type(counts: Mapping[str, int]) -> ColumnType | None:
    """The narrowest type of all cells that have a value; None if no cell has one.

    counts: stripped cells and their numbers of rows.
    """
    known = [cell for cell in counts if not is_missing(cell)]
    if not known:
        return None
    for type_, fits in _TESTS:
        if all(map(fits, known)):
            return type_
    texts = [cell for cell in counts if cell.strip(BLANK)]
    rows = sum(counts[cell] for cell in texts)
    many = len(texts) > MAX_CATEGORIES or len(texts) > MIN_TEXT_DISTINCT * rows
    return ColumnType.TEXT if many and median(map(len, texts)) > MIN_TEXT_CHARACTERS else ColumnType.CATEGORY


def strays(counts: Mapping[str, int]) -> tuple[ColumnType, tuple[str, ...]] | None:
    """The type that nearly all cells have, and the cells that do not; None if there is no such type.

    A column of identifiers, of which few have leading zeros, has no strays: only cells that look like no number count.
    """
    known = {cell: rows for cell, rows in counts.items() if not is_missing(cell)}
    for type_, fits in _TESTS[2:]:
        odd = [cell for cell in known if not fits(cell)]
        share = sum(known[cell] for cell in odd) / max(sum(known.values()), 1)
        if odd and share <= STRAY_SHARE and not _only_digits(odd):
            return type_, tuple(odd)
    return None


def _only_digits(cells: Iterable[str]) -> bool:
    return all(cell.isascii() and cell.isdigit() for cell in cells)
