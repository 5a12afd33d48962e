"""The cells of a CSV or Parquet file, and what is wrong with them: the line or column, and the remedy."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final, Self

from modelyard_contracts.inference.errors import shown
from modelyard_contracts.manifest import MAX_FEATURES
from modelyard_contracts.usable.values import BLANK

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

MAX_NAME_CHARACTERS: Final = 256
SHOWN: Final = 10
_SEPARATORS: Final = {";": ";", "\t": "tab", "|": "|"}
_OTHER_FORMATS: Final = {
    b"PK": "an Excel workbook or a zip file",
    b"\x1f\x8b": "a gzip file",
}
_PARQUET: Final = b"PAR1"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


class UnfitFile(ValueError):
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
    trimmed: Mapping[str, int] = field(default_factory=dict, repr=False)
    """Column to the number of its cells that had blanks around a value in the file."""

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
        return Table(self.path, self.header, rows, lines, self.blank_rows, self.decimal, self.trimmed)

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


def read_table(
    path: Path, dialect: Dialect | None = None, *, max_cells: int | None = None, min_columns: int = 2
) -> Table:
    """Read a file; UnfitFile if a line has another number of fields than the first one. Blank lines are left out.

    max_cells: UnfitFile for a file with more rows times columns, before they fill the memory. min_columns: a feature
    and the target; 1 for a file that needs no target.
    """
    dialect = dialect or Dialect()
    parquet = _check_format(path, dialect) == _PARQUET
    found = _parquet(path, max_cells) if parquet else _csv(path, dialect, max_cells)
    if not found:
        raise UnfitFile(f"{path} is empty; the first line must name at least one feature and the target")
    (_, titles), *rest = found
    header = [title.strip(BLANK) for title in titles]
    _check_header(path, header, min_columns)
    rows, lines, blank, trimmed = list[list[str]](), list[int](), 0, Counter[str]()
    for line, row in rest:
        if len(row) != len(header):
            raise UnfitFile(f"{path}, line {line}: {len(row)} fields, but the first line names {len(header)} columns")
        cells = [cell.strip(BLANK) for cell in row]
        if cells != row:
            trimmed.update(name for name, cell, whole in zip(header, cells, row, strict=True) if cell and cell != whole)
        if any(cells):
            rows.append(cells if dialect.decimal == "." else [_number(cell, dialect.decimal) for cell in cells])
            lines.append(line)
        else:
            blank += 1
    return Table(path, header, rows, lines, blank, dialect.decimal, trimmed)


def too_large(path: Path, max_cells: int) -> UnfitFile:
    """The error for a file with more values than may be read here."""
    return UnfitFile(
        f"{path} has more than {max_cells:,} values (rows times columns), the limit here; train on it with "
        "`modelyard train` on a machine with the file, or leave rows out"
    )


def _at_most(
    max_cells: int | None, path: Path, lines: Iterable[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    cells = 0
    for line, row in lines:
        cells += len(row)
        if max_cells is not None and cells > max_cells:
            raise too_large(path, max_cells)
        yield line, row


def _number(cell: str, decimal: str) -> str:
    """A number with its decimal sign as a point; other texts as they are."""
    if cell.count(decimal) == 1 and cell.replace(decimal, "", 1).strip("+-").isdigit():
        return cell.replace(decimal, ".")
    return cell


def _parquet(path: Path, max_cells: int | None) -> list[tuple[int, list[str]]]:
    from modelyard_contracts.tables.parquet import parquet_lines

    return parquet_lines(path, max_cells)


def _check_format(path: Path, dialect: Dialect) -> bytes:
    """Return the first four bytes."""
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
    return start


def _csv(path: Path, dialect: Dialect, max_cells: int | None) -> list[tuple[int, list[str]]]:
    """Line numbers and fields of all lines that are not empty.

    Errors are handled here, where the rows are free again, and not in the generators: without memory, CPython 3.11 can
    loop for ever at the end of a handler in a long function, as it allocates the number of the instruction.
    """
    with _opened(path, dialect) as reader:
        return list(_at_most(max_cells, path, _lines(reader)))


def _lines(reader: "CsvReader") -> Iterator[tuple[int, list[str]]]:
    for row in reader:
        if len(row) > 1 or (row and row[0].strip(BLANK)):
            yield reader.line_num, row


@contextmanager
def _opened(path: Path, dialect: Dialect) -> Iterator["CsvReader"]:
    """A reader of the file; UnfitFile names what is wrong with it."""
    encoding = "utf-8-sig" if dialect.encoding == "utf-8" else dialect.encoding
    line = 0
    try:
        with path.open(newline="", encoding=encoding) as file:
            reader = csv.reader(file, delimiter=dialect.separator)
            try:
                yield reader
            finally:
                line = reader.line_num
    except LookupError as error:
        raise UnfitFile(f"--encoding {dialect.encoding}: unknown; use utf-8, latin-1 or cp1252") from error
    except UnicodeError as error:
        raise UnfitFile(
            f"cannot read {path}: it is not in {dialect.encoding.upper()}; save it as CSV in UTF-8, or set --encoding, "
            "such as latin-1 or cp1252"
        ) from error
    except csv.Error as error:
        raise UnfitFile(f"{path}, line {line}: {error}; is a quotation mark left open?") from error


def _check_header(path: Path, header: list[str], min_columns: int) -> None:
    if len(header) < min_columns:
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
