"""Target, time column, types and task of a CSV file, inferred; ambiguity is an error that lists the candidates."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any, Final

from modelyard_cli.demo.table import RESERVED_NAMES, Table, UnfitFile
from modelyard_contracts.signature import ColumnType, Task

TARGET_NAMES: Final = frozenset({"target", "label", "class", "y", "outcome"})
TIME_NAMES: Final = frozenset({"time", "timestamp", "date", "datetime", "occurred_at", "ts"})
MAX_CATEGORIES: Final = 100
MAX_INTEGER_CLASSES: Final = 20
TEXT_CHARACTERS: Final = 30
"""Median length above which a column of strings is text."""
SHOWN: Final = 5
_TIMESTAMP: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")


class Ambiguous(UnfitFile):
    """More than one reading fits; the text lists them and the option that decides."""


@dataclass(frozen=True)
class Choices:
    """Options of the command line; None is inferred."""

    target: str | None = None
    time: str | None = None
    task: Task | None = None
    types: Mapping[str, ColumnType] | None = None


@dataclass(frozen=True)
class TrainingPlan:
    """How a table is read. time: None if the rows are in order of time."""

    task: Task
    target: str
    time: str | None
    types: Mapping[str, ColumnType]
    """Features in the order of the file."""
    values: tuple[str, ...]
    """Distinct values of a target of classes, sorted; empty for numbers."""


def infer(table: Table, choices: Choices) -> TrainingPlan:
    """Read a table as the choices say; UnfitFile names a column that cannot be used."""
    target = _target(table, choices.target)
    time = _time(table, choices.time, target)
    given = choices.types or {}
    if unknown := sorted(set(given) - set(table.header)):
        raise UnfitFile(f"{table.path}: --column {unknown[0]}: there is no such column; it has {_names(table.header)}")
    features = [name for name in table.header if name not in (target, time)]
    if taken := sorted(set(features) & set(RESERVED_NAMES)):
        raise UnfitFile(f"{table.path}: the platform has its own {', '.join(taken)}; rename or leave out that column")
    if not features:
        raise UnfitFile(f"{table.path}: no column is left to learn from")
    types = {name: given.get(name) or column_type(table, name) for name in features}
    task = task_of(table, target, choices.task)
    values = () if task is Task.REGRESSION else tuple(sorted(set(cells(table, target))))
    return TrainingPlan(task, target, time, types, values)


def cells(table: Table, name: str) -> list[str]:
    """The cells of a column, stripped."""
    place = table.header.index(name)
    return [row[place].strip() for row in table.rows]


def _target(table: Table, chosen: str | None) -> str:
    """The chosen column, or the only one with a usual name that is also the last or the only candidate."""
    if chosen is not None:
        if chosen not in table.header:
            raise UnfitFile(f"{table.path}: --target {chosen}: no such column; it has {_names(table.header)}")
        return chosen
    candidates = [name for name in table.header if name.lower() in TARGET_NAMES]
    if table.header[-1] not in candidates and table.header[-1].lower() not in TIME_NAMES:
        candidates.append(table.header[-1])
    if len(candidates) != 1:
        names = candidates or table.header
        raise Ambiguous(f"{table.path}: which column is the target: {_names(names)}? Name it by --target")
    return candidates[0]


def _time(table: Table, chosen: str | None, target: str) -> str | None:
    if chosen == "none":
        return None
    if chosen is not None:
        if chosen not in table.header:
            raise UnfitFile(f"{table.path}: --time {chosen}: no such column; it has {_names(table.header)}")
        return chosen
    named = [name for name in table.header if name.lower() in TIME_NAMES and name != target]
    found = [name for name in named if column_type(table, name) is ColumnType.TIMESTAMP]
    if len(found) > 1:
        raise Ambiguous(f"{table.path}: which column is the time: {_names(found)}? Name it by --time, or --time none")
    return found[0] if found else None


def column_type(table: Table, name: str) -> ColumnType:
    """The narrowest type that fits every cell; empty cells are missing values."""
    found = [cell for cell in cells(table, name) if cell]
    if not found:
        raise UnfitFile(f"{table.path}: column {name!r} has no value in any row; leave it out")
    if {cell.lower() for cell in found} <= {"true", "false"}:
        return ColumnType.BOOLEAN
    if all(_integer(cell) for cell in found):
        return ColumnType.INTEGER
    if all(number(cell) is not None for cell in found):
        return ColumnType.NUMBER
    if all(_TIMESTAMP.fullmatch(cell) for cell in found):
        return ColumnType.TIMESTAMP
    if len(set(found)) <= MAX_CATEGORIES:
        return ColumnType.CATEGORY
    if median(map(len, found)) > TEXT_CHARACTERS:
        return ColumnType.TEXT
    place = table.header.index(name)
    odd = next(at for at, row in enumerate(table.rows) if row[place].strip() and number(row[place]) is None)
    raise UnfitFile(
        f"{table.path}, line {table.lines[odd]}: column {name!r} is neither numeric nor of at most {MAX_CATEGORIES} "
        f"categories: {table.rows[odd][place][:40]!r}; leave missing cells empty, or set --column {name}=text"
    )


def task_of(table: Table, target: str, chosen: Task | None) -> Task:
    """The chosen task if it fits the target column, else the inferred one."""
    values = cells(table, target)
    if "" in values:
        line = table.lines[values.index("")]
        raise UnfitFile(f"{table.path}, line {line}: no value of the target column {target!r}")
    if target in values:
        raise UnfitFile(f"{table.path}: the first line must name the columns, but {target!r} is a value")
    distinct = sorted(set(values))
    task = chosen or _inferred_task(table, target, distinct)
    _check_task(table, target, task, distinct)
    return task


def _inferred_task(table: Table, target: str, distinct: Sequence[str]) -> Task:
    if len(distinct) < 2:
        raise UnfitFile(f"{table.path}: the target column {target!r} has the same value in every row")
    if len(distinct) == 2:
        return Task.BINARY
    if not all(number(value) is not None for value in distinct):
        return Task.MULTICLASS
    if len(distinct) <= MAX_INTEGER_CLASSES and all(_integer(value) for value in distinct):
        raise Ambiguous(
            f"{table.path}: the target column {target!r} has {len(distinct)} different integers ({_names(distinct)}): "
            "are they classes or numbers? Say it by --task multiclass or --task regression"
        )
    return Task.REGRESSION


def _check_task(table: Table, target: str, task: Task, distinct: Sequence[str]) -> None:
    start = f"{table.path}: the target column {target!r}"
    if task is Task.REGRESSION:
        odd = next((value for value in distinct if number(value) is None), None)
        if odd is not None:
            raise UnfitFile(f"{start} is not numeric: {odd!r}; use --task multiclass")
    elif task is Task.BINARY and len(distinct) != 2:
        raise UnfitFile(f"{start} has {len(distinct)} values, and a binary target has 2: {_names(distinct)}")
    elif task is Task.MULTICLASS and not 2 <= len(distinct) <= MAX_CATEGORIES:
        raise UnfitFile(f"{start} has {len(distinct)} values; a multiclass target has 2 to {MAX_CATEGORIES}")
    elif task is Task.TEXT:
        raise UnfitFile(f"{table.path}: --task text: such models are not trained; use binary or multiclass")


def converted(table: Table, name: str, type_: ColumnType) -> list[Any]:
    """The values of a column in Python's types; None where missing. UnfitFile names the line that does not fit."""
    found = []
    for at, cell in enumerate(cells(table, name)):
        try:
            found.append(_value(cell, type_))
        except (ValueError, KeyError) as error:
            raise UnfitFile(
                f"{table.path}, line {table.lines[at]}: {cell[:40]!r} of column {name!r} is not a {type_}"
            ) from error
    return found


def _value(cell: str, type_: ColumnType) -> Any:
    if not cell:
        return None
    if type_ is ColumnType.BOOLEAN:
        return {"true": True, "false": False, "1": True, "0": False}[cell.lower()]
    if type_ is ColumnType.INTEGER:
        return int(cell)
    if type_ is ColumnType.NUMBER:
        return value if math.isfinite(value := float(cell)) else None
    return timestamp(cell) if type_ is ColumnType.TIMESTAMP else cell


def timestamp(cell: str) -> datetime:
    """A moment in ISO 8601; UTC without a zone. ValueError for any other text."""
    moment = datetime.fromisoformat(cell)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def number(cell: str) -> float | None:
    """The number in a cell, or None."""
    try:
        return float(cell)
    except ValueError:
        return None


def _integer(cell: str) -> bool:
    return re.fullmatch(r"[+-]?\d{1,18}", cell) is not None


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    more = ", ..." if len(listed) > 2 * SHOWN else ""
    return ", ".join(listed[: 2 * SHOWN]) + more
