"""Conditions of searches in SQL, on SQLite and PostgreSQL."""

import re
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.sql.elements import ColumnElement

from modelyard_registry.domain.conditions import Comparison, refuse_unknown

Condition = ColumnElement[bool]
_OF_GLOB: Final = re.compile(r"[*?\[]")


def compare(db: Connection, column: ColumnElement[Any], wanted: Comparison) -> Condition:
    """Apply the operator; LIKE respects the case of letters on both databases."""
    operator, value = wanted.operator, wanted.value
    if operator == "LIKE":
        return _like(db, column, str(value))
    if operator == "ILIKE":
        return column.ilike(str(value))
    if isinstance(value, tuple):
        return column.not_in(value) if operator == "NOT IN" else column.in_(value)
    compared: Condition = column.op(operator, is_comparison=True)(value)
    return compared


def attribute(known: Mapping[str, ColumnElement[Any]], key: str) -> ColumnElement[Any]:
    """The column of an attribute; Invalid names those that exist."""
    found = known.get(key)
    if found is None:
        raise refuse_unknown(key, known)
    return found


def _like(db: Connection, column: ColumnElement[Any], pattern: str) -> Condition:
    if db.dialect.name != "sqlite":
        return column.like(pattern)
    # LIKE of SQLite ignores the case of ASCII letters; GLOB does not.
    escaped = _OF_GLOB.sub(lambda found: f"[{found[0]}]", pattern)
    matched: Condition = column.op("GLOB", is_comparison=True)(escaped.replace("%", "*").replace("_", "?"))
    return matched
