"""Pages of any order: a cursor holds the sort values of the last row, so a deep page costs as much as the first."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, false, or_, true
from sqlalchemy.sql.elements import ColumnElement

from modelyard_registry.domain.errors import UnknownCursor


@dataclass(frozen=True)
class Sorted:
    """One column of an order; rows without a value come last."""

    column: ColumnElement[Any]
    descending: bool = False

    @property
    def nullable(self) -> bool:
        """Whether rows may have no value. The order of all others is that of an index, which NULLS LAST is not."""
        return bool(getattr(self.column, "nullable", True))


def page(
    db: Connection, query: Select[Any], order: Sequence[Sorted], token: str, limit: int
) -> tuple[list[Row[Any]], str | None]:
    """Return the rows after the cursor, and the cursor of the next page. The last columns of the order are unique."""
    labels = [sorted_.column.label(f"sort_{n}") for n, sorted_ in enumerate(order)]
    if token:
        query = query.where(_after(order, _read(token, len(order))))
    for sorted_ in order:
        direction = sorted_.column.desc() if sorted_.descending else sorted_.column.asc()
        query = query.order_by(direction.nulls_last() if sorted_.nullable else direction)
    rows = list(db.execute(query.add_columns(*labels).limit(limit + 1)))
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], _written([last._mapping[label.name] for label in labels])


def _after(order: Sequence[Sorted], values: Sequence[Any]) -> ColumnElement[bool]:
    """Rows that are greater in the order: equal in the first columns, greater in the next one."""
    equal: ColumnElement[bool] = true()
    found: list[ColumnElement[bool]] = []
    for sorted_, value in zip(order, values, strict=True):
        found.append(and_(equal, _greater(sorted_, value)))
        same = sorted_.column.is_(None) if value is None else sorted_.column == value
        equal = and_(equal, same)
    return and_(_bound(order[0], values[0]), or_(*found))


def _bound(first: Sorted, value: Any) -> ColumnElement[bool]:
    """What the first column implies alone: an index then begins at the cursor, and not at its start."""
    if value is None or first.nullable:
        return true()
    bound: ColumnElement[bool] = first.column <= value if first.descending else first.column >= value
    return bound


def _greater(sorted_: Sorted, value: Any) -> ColumnElement[bool]:
    if value is None:
        return false()
    greater: ColumnElement[bool] = sorted_.column < value if sorted_.descending else sorted_.column > value
    return or_(greater, sorted_.column.is_(None)) if sorted_.nullable else greater


def _written(values: Sequence[Any]) -> str:
    plain = [[value.isoformat()] if isinstance(value, datetime) else value for value in values]
    return urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode()


def _read(token: str, length: int) -> list[Any]:
    try:
        found = json.loads(urlsafe_b64decode(token.encode()))
    except (ValueError, RecursionError) as error:
        raise UnknownCursor from error
    if not isinstance(found, list) or len(found) != length:
        raise UnknownCursor
    return [_value(value) for value in found]


def _value(found: Any) -> Any:
    """A value of a cursor; moments are lists with one text."""
    if found is None or isinstance(found, str | int | float):
        return found
    try:
        return datetime.fromisoformat(found[0])
    except (TypeError, ValueError, LookupError) as error:
        raise UnknownCursor from error
