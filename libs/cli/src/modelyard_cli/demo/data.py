"""The stream of the demo: Elec2 from a pinned package, or any CSV file in order of time."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.demo import elec2
from modelyard_cli.demo.table import TARGET_NAMES, UnfitFile, check_target, column, read_table
from modelyard_contracts.signature import Task

TRAIN_SHARE: Final = 0.1
MIN_OF_A_CLASS: Final = 20
MIN_ROWS: Final = 3_000
"""Below this a tenth is no training set and the rest is no stream."""


@dataclass(frozen=True)
class Stream:
    """A table in order of time, with a target of classes or numbers.

    numbers: shape (rows, len(numeric)), NaN where missing; words: shape (rows, len(categorical)), None where missing.
    labels: shape (rows,), one of the classes, or a float for a regression.
    classes: sorted, the last of two is the positive class; empty for a regression.
    """

    name: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    numbers: NDArray[np.float64]
    words: NDArray[np.object_]
    labels: NDArray[np.object_]
    classes: tuple[str, ...]

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


def load(path: Path | None, cache: Path, task: Task | None = None) -> Stream:
    """The given CSV file, or Elec2; UnfitFile when version 1 could not be trained on its first part."""
    if path is None:
        return read_csv(elec2.fetch(cache), "electricity", elec2.COLUMNS, elec2.CLASSES)
    stream = read_csv(path, task=task)
    first = stream.labels[: int(stream.rows * TRAIN_SHARE)]
    for value in stream.classes:
        if (found := int((first == value).sum())) < MIN_OF_A_CLASS:
            raise UnfitFile(
                f"{path}: version 1 learns from the first {len(first)} rows, and {found} of them are {value!r}; "
                f"at least {MIN_OF_A_CLASS} are needed: put the rows in the order of time, not of the target"
            )
    return stream


def read_csv(
    path: Path,
    name: str | None = None,
    columns: tuple[str, ...] | None = None,
    classes: tuple[str, str] | None = None,
    min_rows: int = MIN_ROWS,
    task: Task | None = None,
) -> Stream:
    """Read a table; UnfitFile says what is wrong with it and where.

    columns: names in place of the file's own for the features; classes: names for the two values of the target, in
    their sorted order. task: None infers it from the target.
    """
    from modelyard_cli.inference import task_of

    table = read_table(path)
    target = next((table.header.index(known) for known in TARGET_NAMES if known in table.header), -1) % table.width
    raw = [row[target] for row in table.rows]
    check_target(table, target, raw)
    task = task_of(table, table.header[target], task)
    if len(table.rows) < min_rows:
        raise UnfitFile(f"{path}: {len(table.rows)} rows; at least {min_rows} are needed, in the order of time")
    values = [] if task is Task.REGRESSION else sorted(set(raw))
    names: dict[str, str] = dict(zip(values, classes or values, strict=True))
    places = [place for place in range(table.width) if place != target]
    titles = columns or tuple(table.header[place] for place in places)
    parsed = [(title, column(table, title, place)) for title, place in zip(titles, places, strict=True)]
    numeric = [(title, values_) for title, values_ in parsed if values_.dtype != object]
    words = [(title, values_) for title, values_ in parsed if values_.dtype == object]
    rows = len(table.rows)
    return Stream(
        name=name or _model_name(path),
        numeric=tuple(title for title, _ in numeric),
        categorical=tuple(title for title, _ in words),
        numbers=np.column_stack([values_ for _, values_ in numeric]) if numeric else np.empty((rows, 0)),
        words=np.column_stack([values_ for _, values_ in words]) if words else np.empty((rows, 0), dtype=object),
        labels=np.array([names[value] if values else float(value) for value in raw], dtype=object),
        classes=tuple(names[value] for value in values),
    )


def _model_name(path: Path) -> str:
    """As the registry takes it."""
    return re.sub("[^a-z0-9]+", "-", path.stem.lower()).strip("-")[:100] or "model"
