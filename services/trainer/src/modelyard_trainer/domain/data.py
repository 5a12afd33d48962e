"""How to read a training file, and how it differs from the signature of the serving version."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from pydantic import Field

from modelyard_contracts import Part
from modelyard_contracts.signature import ColumnType, Signature, Task

TARGET: Final = "label"
TIME: Final = "occurred_at"
ID: Final = "prediction_id"
_TEXT_TYPES: Final = frozenset({ColumnType.CATEGORY, ColumnType.TEXT})
_NUMBER_TYPES: Final = frozenset({ColumnType.NUMBER, ColumnType.INTEGER, ColumnType.BOOLEAN, ColumnType.TIMESTAMP})


class DataSpec(Part):
    """Task and columns of a run's data; what is left out is inferred, or taken from the serving version."""

    task: Task | None = None
    target: str = Field(default=TARGET, min_length=1, max_length=256)
    """Target column of a given dataset."""
    time: str | None = Field(default=TIME, min_length=1, max_length=256)
    """Time column of a given dataset; null if the rows are in order of time."""
    columns: dict[str, ColumnType] = Field(default_factory=dict)
    """Types that differ from the inferred ones."""
    new_contract: bool = False
    """True makes a new signature from the file instead of keeping the serving version's."""


def kinds_of(arrow_type: str) -> frozenset[ColumnType]:
    """Column types that a column of an Arrow type can hold; empty for lists, structs and other nested types.

    Text may hold any type: its values are parsed, and those that do not fit are reported.
    """
    name = arrow_type.lower()
    if name.startswith("dictionary"):
        name = name.partition("values=")[2].partition(",")[0]
    if name in ("string", "large_string", "string_view", "utf8", "null"):
        return _TEXT_TYPES | _NUMBER_TYPES
    if name.startswith(("int", "uint", "double", "float", "halffloat", "decimal")):
        return _NUMBER_TYPES
    if name.startswith("bool"):
        return frozenset({ColumnType.BOOLEAN, ColumnType.NUMBER, ColumnType.INTEGER})
    if name.startswith(("timestamp", "date")):
        return frozenset({ColumnType.TIMESTAMP})
    return frozenset()


def differences(signature: Signature, columns: Mapping[str, str]) -> list[str]:
    """Return every column that is missing or cannot hold the type of the signature.

    columns: name to Arrow type of a file.
    """
    found = [f"column {c.name} is missing" for c in signature.columns if c.name not in columns]
    found += [
        f"column {c.name} is {columns[c.name]}, the signature has {c.type.value}"
        for c in signature.columns
        if c.name in columns and c.type not in kinds_of(columns[c.name])
    ]
    return found


def unused_columns(signature: Signature, columns: Iterable[str], own: Collection[str]) -> tuple[str, ...]:
    """Columns of a file that the signature does not have. own: target, time and id of the file."""
    known = {column.name for column in signature.columns}.union(own)
    return tuple(name for name in columns if name not in known)


def describe(found: list[str]) -> str:
    """All differences in one message, with the remedy."""
    return (
        f"dataset: {'; '.join(found)}. Correct the file, or request the run with new_contract to make a new signature"
    )
