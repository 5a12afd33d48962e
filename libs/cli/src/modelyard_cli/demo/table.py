"""The cells of a CSV file as they stand there, and what is wrong with them: the line or column, and the remedy."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.stack.layout import StackError
from modelyard_contracts.manifest import MAX_FEATURES

TARGET_NAMES: Final = ("target", "label", "class", "y")
RESERVED_NAMES: Final = ("label", "occurred_at", "prediction_id")
"""Of the columns that a dataset gets beside its features."""
SHOWN_VALUES: Final = 5
MAX_CATEGORIES: Final = 100


class UnfitFile(StackError):
    """A file that the demo cannot stream; the text names the line or column and the remedy."""


@dataclass(frozen=True)
class Table:
    """The cells of a file as they stand there; `lines` are the line numbers of `rows`."""

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]

    @property
    def width(self) -> int:
        return len(self.header)


def read_table(path: Path) -> Table:
    """Blank lines and a byte order mark say nothing; every other line has the fields that the first one names."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            found = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise UnfitFile(f"cannot read {path}: {error.strerror}; give a CSV file") from error
    except UnicodeDecodeError as error:
        raise UnfitFile(f"cannot read {path}: it is not in UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise UnfitFile(f"{path}, line {reader.line_num}: {error}; is a quotation mark left open?") from error
    if not found:
        raise UnfitFile(f"{path} is empty; the first line must name at least one feature and the target")
    (_, header), *rest = found
    table = Table(path, [title.strip() for title in header], [row for _, row in rest], [line for line, _ in rest])
    _check_header(table)
    for line, row in rest:
        if len(row) != len(header):
            raise UnfitFile(f"{path}, line {line}: {len(row)} fields, the first line names {len(header)}")
    return table


def _check_header(table: Table) -> None:
    path, header = table.path, table.header
    if len(header) < 2:
        other = next((sign for sign in ";\t|" if sign in header[0]), None)
        hint = f"; it separates by {other!r}: save it separated by commas" if other else ""
        raise UnfitFile(f"{path}: the first line must name at least one feature and the target{hint}")
    if len(header) - 1 > MAX_FEATURES:
        raise UnfitFile(f"{path}: {len(header) - 1} features; at most {MAX_FEATURES} can be watched, leave some out")
    if "" in header:
        raise UnfitFile(f"{path}: column {header.index('') + 1} has no name in the first line; give it one")
    if twice := sorted({title for title in header if header.count(title) > 1}):
        raise UnfitFile(f"{path}: the first line must name each column, each name once; twice: {', '.join(twice)}")


def check_target(table: Table, target: int, raw: list[str]) -> None:
    """A value in every row, more than one value, and a header that is not a value."""
    path, title = table.path, table.header[target]
    chosen = "" if title in TARGET_NAMES else f" (the last one; name another one {', '.join(TARGET_NAMES)})"
    if taken := sorted(set(RESERVED_NAMES) & set(table.header) - {title}):
        raise UnfitFile(f"{path}: the platform has its own {', '.join(taken)}; rename or leave out that column")
    if "" in raw:
        raise UnfitFile(f"{path}, line {table.lines[raw.index('')]}: no value of the target column {title!r}")
    if title in raw:
        raise UnfitFile(f"{path}: the first line must name the columns, but {title!r} is a value of the last one")
    if len(set(raw)) < 2:
        raise UnfitFile(f"{path}: the target column {title!r}{chosen} has 1 value; it must have at least 2: {raw[0]!r}")


def column(table: Table, title: str, place: int) -> NDArray[np.float64] | NDArray[np.object_]:
    """Numbers when every cell that is not empty is one, else words."""
    cells = [row[place] for row in table.rows]
    strange = next((at for at, cell in enumerate(cells) if _number(cell) is None), None)
    if strange is None:
        numbers = np.array([_number(cell) for cell in cells], dtype=np.float64)
        if np.isnan(numbers).all():
            raise UnfitFile(f"{table.path}: column {title!r} has no value in any row; leave it out")
        return numbers
    words = np.array([cell or None for cell in cells], dtype=object)
    if len(set(words)) > MAX_CATEGORIES:
        raise UnfitFile(
            f"{table.path}, line {table.lines[strange]}: column {title!r} is neither numeric nor of at most "
            f"{MAX_CATEGORIES} categories: {cells[strange][:40]!r}; leave missing cells empty, or the column out"
        )
    return words


def _number(cell: str) -> float | None:
    """NaN for what is missing or infinite; None for what is no number."""
    try:
        number = float(cell) if cell.strip() else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else math.nan
