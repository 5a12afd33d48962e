"""A table of example rows: which columns are features, which holds the truth, which the recorded answers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from modelyard_contracts.inference.errors import shown
from modelyard_contracts.messages.base import Part
from modelyard_contracts.signature import ColumnType
from modelyard_contracts.tables.inference import CERTAIN_TARGETS, labels, type_of
from modelyard_contracts.tables.table import Table, listed
from modelyard_own.description import Description
from modelyard_own.errors import UnfitModel
from modelyard_own.facts import Facts

ANSWERS: Final = frozenset({"answer", "answers", "prediction", "predictions"})
"""Names of a column with recorded answers."""
NONE: Final = "none"
BOOLEANS: Final = frozenset({"true", "false"})
"""Classes of a model whose classes are booleans, as signatures spell them."""


@dataclass(frozen=True)
class Sample:
    """Rows as the model takes them. types: features in the order of the signature."""

    table: Table
    types: Mapping[str, ColumnType]
    target: str | None
    answers: str | None

    def labels(self) -> list[str]:
        """The target's cells that have a value; empty without a target."""
        return labels(self.table, self.target) if self.target else []


class SampleFacts(Part):
    """A sample without its rows. labels: number of rows with a true class or value."""

    file: str
    rows: int
    target: str | None
    answers: str | None
    labels: int


def facts_about(sample: Sample) -> SampleFacts:
    """Return the facts about a sample that are shown."""
    table = sample.table
    return SampleFacts(
        file=table.path.name,
        rows=len(table.rows),
        target=sample.target,
        answers=sample.answers,
        labels=len(sample.labels()),
    )


def sample_of(table: Table, stated: Description, facts: Facts) -> Sample:
    """Sort the columns; UnfitModel if a column is missing that the owner or the model's files name."""
    if not table.rows:
        raise UnfitModel(f"{table.path}: has no rows; give at least one")
    answers = _answers(table, stated, facts)
    target = _target(table, stated, facts, answers)
    table = _with_booleans(table, {answers, target}, stated.classes or facts.classes)
    names = _features(table, facts, {answers, target})
    types = {name: stated.columns.get(name) or _type(table, name, facts) for name in names}
    _check_columns(table, stated)
    return Sample(table, types, target, answers)


def _with_booleans(table: Table, columns: set[str | None], classes: Sequence[str]) -> Table:
    """The table with `True` and `False` in these columns as the classes of a model of booleans, `true` and `false`.

    pandas and other writers of CSV files spell them that way; other classes are left as they are.
    """
    if set(classes) != BOOLEANS:
        return table
    places = [place for place, name in enumerate(table.header) if name in columns]
    rows = [list(row) for row in table.rows]
    for row in rows:
        for place in places:
            if row[place].lower() in BOOLEANS:
                row[place] = row[place].lower()
    return replace(table, rows=rows)


def _check_columns(table: Table, stated: Description) -> None:
    if unknown := sorted(set(stated.columns) - set(table.header)):
        raise UnfitModel(f"{table.path}: --column {shown(unknown[0])}: no such column; it has {listed(table.header)}")


def _answers(table: Table, stated: Description, facts: Facts) -> str | None:
    if stated.answers is not None:
        return _named(table, stated.answers, "--answers")
    usual = [name for name in table.header if name.lower() in ANSWERS and name not in facts.features]
    return usual[0] if len(usual) == 1 else None


def _named(table: Table, name: str, option: str) -> str | None:
    if name == NONE:
        return None
    if name not in table.header:
        raise UnfitModel(f"{table.path}: {option} {shown(name)}: no such column; it has {listed(table.header)}")
    return name


def _target(table: Table, stated: Description, facts: Facts, answers: str | None) -> str | None:
    """The stated column; else `target` or `label`, else the only column that is no feature of the model."""
    if stated.target is not None:
        return _named(table, stated.target, "--target")
    others = [name for name in table.header if name != answers and name not in facts.features]
    usual = [name for name in others if name.lower() in CERTAIN_TARGETS]
    if len(usual) == 1:
        return usual[0]
    return next(_leftover(table, facts, others), None)


def _leftover(table: Table, facts: Facts, others: list[str]) -> Iterator[str]:
    """Columns that the model's files show not to be features; the last column of the table is the usual place."""
    last = others[-1:] if others else []
    if facts.features:
        yield from others if len(others) == 1 else []
    elif facts.feature_count is not None:
        yield from last if len(others) == facts.feature_count + 1 else []
    elif facts.classes and last and len(others) > 1:
        yield from last if set(labels(table, last[0])) <= set(facts.classes) else []


def _features(table: Table, facts: Facts, taken: set[str | None]) -> list[str]:
    """Names in the order of the model, if its files name them; else in the order of the table."""
    found = [name for name in table.header if name not in taken]
    if facts.features:
        if absent := [name for name in facts.features if name not in found]:
            raise UnfitModel(f"{table.path}: the model takes {listed(absent)}, which the sample lacks; add the columns")
        return list(facts.features)
    if facts.takes_text and len(found) > 1:
        texts = [name for name in found if type_of(table, name) is ColumnType.TEXT]
        found = texts if len(texts) == 1 else found
    if facts.feature_count not in (None, len(found)):
        raise UnfitModel(
            f"{table.path}: the model takes {facts.feature_count} features, but the sample has {len(found)}: "
            f"{listed(found)}; name the true class or value by --target, and leave other columns out"
        )
    if not found:
        raise UnfitModel(f"{table.path}: no column is left as a feature; add those that the model takes")
    return found


def _type(table: Table, name: str, facts: Facts) -> ColumnType:
    if facts.takes_text:
        return ColumnType.TEXT
    return type_of(table, name)
