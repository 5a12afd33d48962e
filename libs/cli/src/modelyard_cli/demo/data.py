"""The stream of the demo: Elec2 from a pinned package, or any CSV or Parquet file in order of time."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.demo import elec2
from modelyard_cli.demo.times import in_order
from modelyard_contracts.signature import ColumnType, Task
from modelyard_contracts.tables.inference import Choices, TrainingPlan, converted, infer, labelled
from modelyard_contracts.tables.table import Table, UnfitFile, read_table

TRAIN_SHARE: Final = 0.1
MIN_OF_A_CLASS: Final = 20
MIN_ROWS: Final = 3_000
"""Below this a tenth is no training set and the rest is no stream."""
_NUMERIC: Final = (ColumnType.NUMBER, ColumnType.INTEGER, ColumnType.TIMESTAMP)


@dataclass(frozen=True)
class Stream:
    """A table in order of time, with a target of classes or numbers.

    numbers: shape (rows, len(numeric)), NaN where missing; words: shape (rows, len(categorical)), None where missing.
    labels: shape (rows,), one of the classes, or a float for a regression.
    classes: sorted, the last of two is the positive class; empty for a regression.
    """

    name: str
    target: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    numbers: NDArray[np.float64]
    words: NDArray[np.object_]
    labels: NDArray[np.object_]
    classes: tuple[str, ...]
    times: NDArray[np.float64] | None = None
    """Seconds since 1970, rising; None where the rows have no times."""
    label_times: NDArray[np.float64] | None = None
    """When each label became known, in seconds since 1970; None if the source does not record it."""
    notes: tuple[str, ...] = ()
    """Facts about the source that a reader of results should know."""

    @property
    def rows(self) -> int:
        return len(self.labels)

    @property
    def task(self) -> Task:
        if not self.classes:
            return Task.REGRESSION
        return Task.BINARY if len(self.classes) == 2 else Task.MULTICLASS

    def features(self, row: int) -> dict[str, float | str | None]:
        """One row as a caller sends it."""
        numbers = {name: float(value) for name, value in zip(self.numeric, self.numbers[row], strict=True)}
        given = {name: None if np.isnan(value) else value for name, value in numbers.items()}
        return {**given, **dict(zip(self.categorical, self.words[row], strict=True))}


def load(path: Path | None, cache: Path, choices: Choices | None = None) -> Stream:
    """The given file, or Elec2; UnfitFile when version 1 could not be trained on its first part."""
    if path is None:
        stream = read_csv(elec2.fetch(cache), "electricity", elec2.COLUMNS, elec2.CLASSES)
        return replace(stream, times=elec2.BEGAN_S + elec2.ROW_S * np.arange(stream.rows, dtype=np.float64))
    stream = read_csv(path, choices=choices)
    check_first_rows(stream, str(path))
    return stream


def check_first_rows(stream: Stream, source: str) -> None:
    """UnfitFile if version 1 could not be trained on the first tenth of a stream; source: how the message names it."""
    first = stream.labels[: int(stream.rows * TRAIN_SHARE)]
    for value in stream.classes:
        if (found := int((first == value).sum())) < MIN_OF_A_CLASS:
            raise UnfitFile(
                f"{source}: version 1 learns from the first {len(first)} rows, and {found} of them are {value!r}; "
                f"at least {MIN_OF_A_CLASS} are needed: put the rows in the order of time, not of the target"
            )


def read_csv(
    path: Path,
    name: str | None = None,
    columns: tuple[str, ...] | None = None,
    classes: tuple[str, str] | None = None,
    min_rows: int = MIN_ROWS,
    choices: Choices | None = None,
) -> Stream:
    """Read a table in the order of its time column, or of its rows; UnfitFile names what is wrong and where.

    columns: names in place of the file's own for the features; classes: names for the two values of the target, in
    their sorted order. choices: columns and task that are not inferred.
    """
    choices = choices or Choices()
    table = read_table(path, choices.dialect)
    if len(table.rows) < min_rows:
        raise UnfitFile(f"{path}: {len(table.rows)} rows; at least {min_rows} are needed, in the order of time")
    plan = infer(table, choices)
    table, notes = _in_order(labelled(table, plan), plan)
    titles = dict(zip(plan.types, columns or plan.types, strict=True))
    numeric = [name for name, type_ in plan.types.items() if type_ in _NUMERIC]
    words = [name for name in plan.types if name not in numeric]
    rows = len(table.rows)
    named: dict[str, str] = dict(zip(plan.values, classes or plan.values, strict=True))
    target = ColumnType.CATEGORY if plan.values else ColumnType.NUMBER
    labels = [named.get(value, value) for value in converted(table, plan.target, target)]
    return Stream(
        name=name or model_name(path.stem),
        target=plan.target,
        numeric=tuple(titles[name] for name in numeric),
        categorical=tuple(titles[name] for name in words),
        numbers=np.column_stack([_numbers(table, plan, name) for name in numeric]) if numeric else np.empty((rows, 0)),
        words=np.array([converted(table, name, ColumnType.CATEGORY) for name in words], dtype=object)
        .reshape(-1, rows)
        .T,
        labels=np.array(labels, dtype=object),
        classes=tuple(named[value] for value in plan.values),
        times=None if plan.time is None else _seconds(table, plan.time),
        notes=notes,
    )


def _in_order(table: Table, plan: TrainingPlan) -> tuple[Table, tuple[str, ...]]:
    if plan.time is None:
        return table, ()
    return in_order(table, plan.time, converted(table, plan.time, ColumnType.TIMESTAMP), datetime.now(UTC))


def _seconds(table: Table, column: str) -> NDArray[np.float64]:
    return np.array([moment.timestamp() for moment in converted(table, column, ColumnType.TIMESTAMP)])


def _numbers(table: Table, plan: TrainingPlan, name: str) -> NDArray[np.float64]:
    """Numbers, and timestamps in seconds since 1970 UTC; NaN for missing and infinite values."""
    found = [it.timestamp() if isinstance(it, datetime) else it for it in converted(table, name, plan.types[name])]
    values = np.array([np.nan if it is None else it for it in found], dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def model_name(text: str) -> str:
    """A name as the registry takes it."""
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[:100] or "model"
