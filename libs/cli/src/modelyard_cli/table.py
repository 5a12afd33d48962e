"""The cells of a CSV file, and what is wrong with them: the line or column, and the remedy."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Final, Self

from modelyard_cli.stack.layout import StackError
from modelyard_contracts.inference.errors import shown
from modelyard_contracts.manifest import MAX_FEATURES
from modelyard_contracts.usable.values import BLANK

MAX_NAME_CHARACTERS: Final = 256
SHOWN: Final = 10
_SEPARATORS: Final = {";": ";", "\t": "tab", "|": "|"}
_OTHER_FORMATS: Final = {
    b"PK": "an Excel workbook or a zip file",
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
}
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


class UnfitFile(StackError):
    """A file that cannot be used; the text names the line or column and the remedy."""


@dataclass(frozen=True)
class Dialect:
    """How a file is written."""

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"

    @classmethod
    def of(cls, separator: str, decimal: str, encoding: str) -> Self:
        """The dialect of options; UnfitFile names an option that cannot be used."""
        separator = "\t" if separator == "tab" else separator
        if len(separator) != 1 or separator in '"\r\n':
            raise UnfitFile(f"--separator {shown(separator)}: give one character such as ; or the word tab")
        if decimal not in (".", ",") or decimal == separator:
            raise UnfitFile(f"--decimal {shown(decimal)}: use . or , and another sign as --separator")
        return cls(separator, decimal, encoding)


@dataclass(frozen=True)
class Table:
    """The cells of a file, without the blanks around them; `lines` are the line numbers of `rows`."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    blank_rows: int = 0
    """Rows without any value, which are left out."""
    decimal: str = field(default=".", repr=False)

    @property
    def width(self) -> int:
        return len(self.header)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.header)}

    def cells(self, name: str) -> list[str]:
        """The cells of a column."""
        place = self._places[name]
        return [row[place] for row in self.rows]

    def counts(self, name: str) -> Counter[str]:
        """The distinct cells of a column, and their numbers of rows."""
        return Counter(self.cells(name))

    def line_of(self, name: str, cells: Iterable[str]) -> int:
        """The first line that has one of the cells in a column."""
        wanted, place = set(cells), self._places[name]
        return next(line for line, row in zip(self.lines, self.rows, strict=True) if row[place] in wanted)

    def only(self, places: Iterable[int]) -> "Table":
        """The rows at these places, in their order."""
        kept = list(places)
        rows, lines = [self.rows[place] for place in kept], [self.lines[place] for place in kept]
        return Table(self.path, self.header, rows, lines, self.blank_rows, self.decimal)

    def shuffled(self) -> "Table":
        """The rows in a random order, the same for each call."""
        places = list(range(len(self.rows)))
        Random(0).shuffle(places)  # noqa: S311  no secret
        return self.only(places)


def listed(names: Iterable[str]) -> str:
    """Names as messages show them: shortened, and not too many."""
    found = list(names)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(map(shown, found[:SHOWN])) + more


def read_table(path: Path, dialect: Dialect | None = None) -> Table:
    """Read a file; UnfitFile if a line has another number of fields than the first one. Blank lines are left out."""
    dialect = dialect or Dialect()
    _check_format(path, dialect)
    found = list(_lines(path, dialect))
    if not found:
        raise UnfitFile(f"{path} is empty; the first line must name at least one feature and the target")
    (_, titles), *rest = found
    header = [title.strip(BLANK) for title in titles]
    _check_header(path, header)
    rows, lines, blank = list[list[str]](), list[int](), 0
    for line, row in rest:
        if len(row) != len(header):
            raise UnfitFile(f"{path}, line {line}: {len(row)} fields, but the first line names {len(header)} columns")
        cells = [_cell(cell, dialect.decimal) for cell in row]
        if any(cells):
            rows.append(cells)
            lines.append(line)
        else:
            blank += 1
    return Table(path, header, rows, lines, blank, dialect.decimal)


def _cell(cell: str, decimal: str) -> str:
    cell = cell.strip(BLANK)
    if decimal != "." and cell.count(decimal) == 1 and cell.replace(decimal, "", 1).strip("+-").isdigit():
        return cell.replace(decimal, ".")
    return cell


def _check_format(path: Path, dialect: Dialect) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UnfitFile(f"cannot read {path}: {error.strerror}; give a CSV file") from error
    for mark, format_ in _OTHER_FORMATS.items():
        if start.startswith(mark):
            raise UnfitFile(f"{path} is {format_}; save it as CSV")
    if start.startswith(_UTF16) and dialect.encoding == "utf-8":
        raise UnfitFile(f"{path} is not in UTF-8; save it as CSV in UTF-8, or set --encoding utf-16")


def _lines(path: Path, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and fields of all lines that are not empty."""
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    try:
        with path.open(newline="", encoding=encoding) as file:
            reader = csv.reader(file, delimiter=dialect.separator)
            for row in reader:
                if len(row) > 1 or (row and row[0].strip(BLANK)):
                    yield reader.line_num, row
    except LookupError as error:
        raise UnfitFile(f"--encoding {dialect.encoding}: unknown; use utf-8, latin-1 or cp1252") from error
    except UnicodeError as error:
        raise UnfitFile(
            f"cannot read {path}: it is not in {dialect.encoding.upper()}; save it as CSV in UTF-8, or set --encoding, "
            "such as latin-1 or cp1252"
        ) from error
    except csv.Error as error:
        raise UnfitFile(f"{path}, line {reader.line_num}: {error}; is a quotation mark left open?") from error


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) < 2:
        other = next((name for sign, name in _SEPARATORS.items() if sign in header[0]), None)
        hint = f"; it separates by {other!r}: set --separator {other!r}" if other else ""
        raise UnfitFile(f"{path}: the first line must name at least one feature and the target{hint}")
    if len(header) - 1 > MAX_FEATURES:
        raise UnfitFile(f"{path}: {len(header) - 1} features; at most {MAX_FEATURES} can be watched, leave some out")
    if "" in header:
        raise UnfitFile(f"{path}: column {header.index('') + 1} has no name in the first line; give it one")
    if twice := sorted(name for name, count in Counter(header).items() if count > 1):
        raise UnfitFile(f"{path}: the first line must name each column, each name once; twice: {listed(twice)}")
    for place, name in enumerate(header, start=1):
        if len(name) > MAX_NAME_CHARACTERS:
            raise UnfitFile(
                f"{path}: the name of column {place} has {len(name)} characters; at most {MAX_NAME_CHARACTERS} are "
                f"allowed: {shown(name)}"
            )
