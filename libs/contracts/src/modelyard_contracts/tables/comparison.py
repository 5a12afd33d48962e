"""How a file differs from the signature of the version that serves, before anything is uploaded."""

from collections.abc import Iterator
from typing import Final

from modelyard_contracts.inference.errors import shown
from modelyard_contracts.signature import Column, ColumnType, Signature
from modelyard_contracts.tables.inference import TrainingPlan
from modelyard_contracts.tables.table import UnfitFile, listed

_NUMBERS: Final = frozenset({ColumnType.NUMBER, ColumnType.INTEGER})
_TEXTS: Final = frozenset({ColumnType.CATEGORY, ColumnType.TEXT})
_FITTING: Final = {
    ColumnType.NUMBER: _NUMBERS | {ColumnType.BOOLEAN},
    ColumnType.INTEGER: frozenset({ColumnType.INTEGER, ColumnType.BOOLEAN}),
    ColumnType.BOOLEAN: frozenset({ColumnType.BOOLEAN}),
    ColumnType.TIMESTAMP: frozenset({ColumnType.TIMESTAMP}) | _NUMBERS,
    ColumnType.CATEGORY: _TEXTS,
    ColumnType.TEXT: _TEXTS,
}
"""Types of a file's column that can be read as the type of the signature."""


def check(plan: TrainingPlan, known: Signature) -> tuple[str, ...]:
    """Notes on columns that will not be used; UnfitFile with every difference that keeps the file from being used."""
    found = [*_columns(plan, known), *_target(plan, known)]
    if found:
        raise UnfitFile(
            f"the file differs from the version that serves: {'; '.join(found)}. Correct the file, or set "
            "--new-contract to make a new signature from it"
        )
    unused = [name for name in plan.types if name not in {column.name for column in known.columns}]
    if not unused:
        return ()
    return (f"not used, as the version that serves does not have them: {listed(unused)} (--new-contract adds them)",)


def _columns(plan: TrainingPlan, known: Signature) -> Iterator[str]:
    for column in known.columns:
        name = shown(column.name)
        if column.name not in plan.types:
            yield f"column {name!r} is missing{_similar(plan, column)}"
        elif plan.types[column.name] not in _FITTING[column.type]:
            hint = f" (set --column {name}={column.type} if it is)" if column.type in _TEXTS else ""
            yield f"column {name!r} holds {plan.types[column.name]} values, not {column.type}{hint}"


def _similar(plan: TrainingPlan, column: Column) -> str:
    wanted = _bare(column.name)
    found = next((name for name in plan.types if _bare(name) == wanted), None)
    return "" if found is None else f" (there is {shown(found)!r}; rename it)"


def _bare(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def _target(plan: TrainingPlan, known: Signature) -> Iterator[str]:
    if plan.task.classifies != known.task.classifies:
        yield f"the task is {plan.task}, not {known.task}"
    elif unknown := [value for value in plan.values if value not in known.classes]:
        yield f"{shown(plan.target)!r} has the classes {listed(unknown)}, known are {listed(known.classes)}"
