"""Target, time column, types and task of a CSV file, inferred; ambiguity is an error that lists the candidates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from modelyard_contracts.inference.errors import shown
from modelyard_contracts.signature import ColumnType, Task
from modelyard_contracts.tables.table import Dialect, Table, UnfitFile, listed
from modelyard_contracts.usable import (
    cell_value,
    column_type,
    is_missing,
    is_missing_label,
    parse_number,
    parse_timestamp,
    strays,
)
from modelyard_contracts.usable.kinds import MAX_CATEGORIES
from modelyard_contracts.usable.values import is_integer

CERTAIN_TARGETS: Final = frozenset({"target", "label"})
POSSIBLE_TARGETS: Final = frozenset(
    {
        *("class", "y", "outcome", "response", "result", "labels", "species", "diagnosis", "default", "quality"),
        *("survived", "churn", "churned", "exited", "fraud", "is_fraud", "converted", "clicked"),
    }
)
TIME_NAMES: Final = frozenset({"time", "timestamp", "date", "datetime", "occurred_at", "ts"})
LEAVE_OUT: Final = "none"
"""In place of a column's type: no model learns from it."""
MAX_INTEGER_CLASSES: Final = 20
DATE_DIGITS: Final = 4
"""Digits in a cell that looks like a date, in whatever form."""


class Ambiguous(UnfitFile):
    """More than one reading fits; the text lists them, and `option` with one of `candidates` decides."""

    def __init__(self, text: str, option: Literal["--target", "--time", "--task"], candidates: Sequence[str]) -> None:
        super().__init__(text)
        self.option, self.candidates = option, tuple(candidates)


@dataclass(frozen=True)
class Choices:
    """Options of the command line; None is inferred."""

    target: str | None = None
    time: str | None = None
    task: Task | None = None
    types: Mapping[str, ColumnType] | None = None
    left_out: frozenset[str] = frozenset()
    """Columns that no model learns from."""
    dialect: Dialect = field(default_factory=Dialect)


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
    if unknown := sorted((set(given) | choices.left_out) - set(table.header)):
        raise UnfitFile(f"{table.path}: --column {shown(unknown[0])}: no such column; it has {listed(table.header)}")
    if target in choices.left_out:
        raise UnfitFile(
            f"{table.path}: --column {shown(target)}={LEAVE_OUT}: it is the target; name another one by --target"
        )
    features = [name for name in table.header if name not in (target, time) and name not in choices.left_out]
    if not features:
        raise UnfitFile(f"{table.path}: no column is left to learn from; give at least one feature")
    types = {name: given.get(name) or type_of(table, name) for name in features}
    task = task_of(table, target, choices.task)
    values = () if task is Task.REGRESSION else tuple(sorted(set(labels(table, target))))
    return TrainingPlan(task, target, time, types, values)


def labels(table: Table, target: str) -> list[str]:
    """The cells of a target column that have a value."""
    return [cell for cell in table.cells(target) if not is_missing_label(cell)]


def labelled(table: Table, plan: TrainingPlan) -> Table:
    """The rows with a target; a missing number may also be written as `-` or `none`."""
    missing = is_missing_label if plan.values else is_missing
    cells = table.cells(plan.target)
    return table.only(place for place, cell in enumerate(cells) if not missing(cell))


def _target(table: Table, chosen: str | None) -> str:
    """The chosen column; else `target` or `label`; else the only other usual name or the last column."""
    if chosen is not None:
        if chosen not in table.header:
            raise UnfitFile(f"{table.path}: --target {shown(chosen)}: no such column; it has {listed(table.header)}")
        return chosen
    certain = [name for name in table.header if name.lower() in CERTAIN_TARGETS]
    possible = [name for name in table.header if name.lower() in POSSIBLE_TARGETS]
    last = [] if table.header[-1].lower() in TIME_NAMES else [table.header[-1]]
    candidates = certain if len(certain) == 1 else list(dict.fromkeys([*certain, *possible, *last])) or table.header
    if len(candidates) != 1:
        raise Ambiguous(
            f"{table.path}: which column is the target: {listed(candidates)}? Name it by --target",
            "--target",
            candidates,
        )
    return candidates[0]


def _time(table: Table, chosen: str | None, target: str) -> str | None:
    if chosen == "none":
        return None
    if chosen is not None:
        if chosen not in table.header:
            raise UnfitFile(f"{table.path}: --time {shown(chosen)}: no such column; it has {listed(table.header)}")
        if chosen == target:
            raise UnfitFile(f"{table.path}: --time {shown(chosen)} is the target; name another column")
        _check_times(table, chosen)
        return chosen
    named = [name for name in table.header if name.lower() in TIME_NAMES and name != target]
    found = [name for name in named if _holds_times(table, name)]
    if len(found) > 1:
        raise Ambiguous(
            f"{table.path}: which column is the time: {listed(found)}? Name it by --time, or --time none",
            "--time",
            [*found, "none"],
        )
    for name in found:
        _check_times(table, name)
    return found[0] if found else None


def _holds_times(table: Table, name: str) -> bool:
    """Whether a column holds timestamps or dates: `time` may be a duration, `date` the name of a weekday."""
    counts = table.counts(name)
    if column_type(counts) in (ColumnType.NUMBER, ColumnType.INTEGER, None):
        return False
    dates = [cell for cell in counts if parse_timestamp(cell) or sum(map(str.isdigit, cell)) >= DATE_DIGITS]
    return 2 * sum(counts[cell] for cell in dates) > len(table.rows)


def _check_times(table: Table, name: str) -> None:
    odd = [cell for cell in table.counts(name) if parse_timestamp(cell) is None]
    if odd:
        line = table.line_of(name, odd)
        cell = next(cell for at, cell in zip(table.lines, table.cells(name), strict=True) if at == line)
        value = f"{shown(cell)!r} is no timestamp" if cell else "no value"
        raise UnfitFile(
            f"{table.path}, line {line}: {value} in the time column {shown(name)!r}; write all of them as "
            "2026-01-31T12:00:00Z or 2026-01-31, or set --time none if the rows are in order of time"
        )


def type_of(table: Table, name: str) -> ColumnType:
    """The narrowest type that fits every cell; UnfitFile if the column is empty, or nearly all cells are of a type."""
    counts = table.counts(name)
    type_ = column_type(counts)
    if type_ is None:
        raise UnfitFile(f"{table.path}: column {shown(name)!r} has no value in any row; leave it out")
    if type_.numeric:
        return type_
    _check_decimals(table, name, counts)
    if (found := strays(counts)) is not None and len(counts) > MAX_CATEGORIES:
        wanted, odd = found
        line = table.line_of(name, odd)
        cell = next(cell for at, cell in zip(table.lines, table.cells(name), strict=True) if at == line)
        rows = sum(counts[cell] for cell in odd)
        raise UnfitFile(
            f"{table.path}, line {line}: column {shown(name)!r} holds {wanted.value}s, except in {rows} rows such as "
            f"{shown(cell)!r}; correct them, leave missing cells empty, or set --column {shown(name)}=category"
        )
    return type_


def _check_decimals(table: Table, name: str, counts: Mapping[str, int]) -> None:
    known = [cell for cell in counts if not is_missing(cell)]
    if all(cell.count(",") == 1 and parse_number(cell.replace(",", ".")) is not None for cell in known):
        raise UnfitFile(
            f"{table.path}: column {shown(name)!r} has decimal commas, such as {shown(known[0])!r}; set --decimal ,"
        )


def task_of(table: Table, target: str, chosen: Task | None) -> Task:
    """The chosen task if it fits the target column, else the inferred one."""
    values = labels(table, target)
    if target in values:
        raise UnfitFile(
            f"{table.path}: the first line must name the columns, but {shown(target)!r} is a value of the target column"
        )
    if 2 * len(values) < len(table.rows):
        raise UnfitFile(
            f"{table.path}: {len(table.rows) - len(values)} of {len(table.rows)} rows have no value of the target "
            f"column {shown(target)!r}; name another one by --target"
        )
    distinct = sorted(set(values))
    task = chosen or _inferred_task(table, target, distinct)
    _check_task(table, target, task, distinct)
    return task


def _inferred_task(table: Table, target: str, distinct: Sequence[str]) -> Task:
    if len(distinct) < 2:
        raise UnfitFile(
            f"{table.path}: the target column {shown(target)!r} has the same value in every row; name another one by "
            "--target"
        )
    if len(distinct) == 2:
        return Task.BINARY
    numbers = [value for value in distinct if not is_missing(value)]
    if not all(parse_number(value) is not None for value in numbers):
        return Task.MULTICLASS
    if len(numbers) <= MAX_INTEGER_CLASSES and all(map(is_integer, numbers)):
        raise Ambiguous(
            f"{table.path}: the target column {shown(target)!r} has {len(distinct)} different integers "
            f"({listed(distinct)}): are they classes or numbers? Say it by --task multiclass or --task regression",
            "--task",
            ("multiclass", "regression"),
        )
    return Task.REGRESSION


def _check_task(table: Table, target: str, task: Task, distinct: Sequence[str]) -> None:
    start = f"{table.path}: the target column {shown(target)!r}"
    if task is Task.REGRESSION:
        odd = next((value for value in distinct if not is_missing(value) and parse_number(value) is None), None)
        if odd is not None:
            raise UnfitFile(f"{start} is not numeric: {shown(odd)!r}; use --task multiclass")
    elif task is Task.BINARY and len(distinct) != 2:
        raise UnfitFile(
            f"{start} has {len(distinct)} values, and a binary target has 2: {listed(distinct)}; use --task multiclass "
            "or another --target"
        )
    elif task is Task.MULTICLASS and not 2 <= len(distinct) <= MAX_CATEGORIES:
        raise UnfitFile(
            f"{start} has {len(distinct)} values, and a multiclass target has 2 to {MAX_CATEGORIES}; name another one "
            "by --target"
        )
    elif not task.labelled:
        raise UnfitFile(f"{table.path}: --task {task}: such models are not trained; use binary or multiclass")


def converted(table: Table, name: str, type_: ColumnType) -> list[Any]:
    """The values of a column in Python's types; None where missing. UnfitFile names the line that does not fit."""
    values: dict[str, Any] = {}
    for cell in table.counts(name):
        try:
            values[cell] = cell_value(cell, type_)
        except ValueError as error:
            raise UnfitFile(
                f"{table.path}, line {table.line_of(name, [cell])}: {shown(cell)!r} of column {shown(name)!r} is not of"
                f" the type {type_}; correct it, or set another type by --column"
            ) from error
    return [values[cell] for cell in table.cells(name)]
