"""What a person chose about an uploaded file, and messages of the reading in the words of the form."""

import re
from collections.abc import Mapping
from typing import Any, Final

from modelyard_contracts.policies import CLASS_METRICS, VALUE_METRICS
from modelyard_contracts.signature import ColumnType, Task
from modelyard_contracts.tables.inference import LEAVE_OUT

KIND: Final = "kind:"
"""Start of the name of the field with the kind of a column."""
KINDS: Final = (
    (ColumnType.NUMBER, "number"),
    (ColumnType.INTEGER, "integer"),
    (ColumnType.BOOLEAN, "yes or no"),
    (ColumnType.CATEGORY, "category"),
    (ColumnType.TEXT, "text"),
    (ColumnType.TIMESTAMP, "timestamp"),
)
TASKS: Final = (Task.BINARY, Task.MULTICLASS, Task.REGRESSION)
LABELS: Final = {
    "target": "Target",
    "time": "Time column",
    "task": "Task",
    "column": "Kind of the column",
    "separator": "Separator",
    "decimal": "Decimal sign",
    "encoding": "Encoding",
    "shuffle": "Random order",
    "new-contract": "New signature",
}
"""Options in messages to the labels of their fields."""
FIELDS: Final = {"new-contract": "new_contract"}


def _option(labels: Mapping[str, str]) -> re.Pattern[str]:
    return re.compile(r"--(" + "|".join(labels) + r")\b")


def in_words(text: str, labels: Mapping[str, str] = LABELS) -> str:
    """A message that names options of the command line, with the labels of the form."""
    text = text.replace("--time none", "\N{LEFT DOUBLE QUOTATION MARK}Time column\N{RIGHT DOUBLE QUOTATION MARK} none")
    return _option(labels).sub(
        lambda found: f"\N{LEFT DOUBLE QUOTATION MARK}{labels[found[1]]}\N{RIGHT DOUBLE QUOTATION MARK}", text
    )


def field_of(
    text: str, option: str = "", labels: Mapping[str, str] = LABELS, fields: Mapping[str, str] = FIELDS
) -> str:
    """The field that a message is about; empty if it is about the file."""
    pattern = _option(labels)
    found = pattern.search(option) or pattern.search(text)
    return fields.get(found[1], found[1]) if found else ""


def chosen(values: Mapping[str, str]) -> dict[str, Any]:
    """Options of a sent form, for `ChosenOptions`. A separator may be written as the word tab."""
    names = ("target", "time", "decimal", "encoding", "separator", "task")
    given = {name: values.get(name, "").strip() for name in names}
    kinds = {name.removeprefix(KIND): value for name, value in values.items() if name.startswith(KIND) and value}
    types = {name: kind for name, kind in kinds.items() if kind != LEAVE_OUT}
    options = {name: value for name, value in given.items() if value}
    return {
        **options,
        "types": types,
        "left_out": sorted(kinds.keys() - types.keys()),
        "shuffle": bool(values.get("shuffle")),
    }


def metrics_of(task: str) -> tuple[str, ...]:
    """Metrics that may choose the model of a task."""
    return VALUE_METRICS if task == Task.REGRESSION else CLASS_METRICS


def shares(classes: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """Class, rows and share of the rows, the commonest first."""
    total = sum(classes.values()) or 1
    return [(name, rows, rows / total) for name, rows in sorted(classes.items(), key=lambda item: -item[1])]
