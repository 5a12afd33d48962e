"""SQL that several aggregates share."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from sqlalchemy import Connection, Table


def insert_once(db: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert unless a unique constraint already has it; False then."""
    # RETURNING, because PostgreSQL's driver does not report how many rows an insert wrote.
    statement = _dialect(db).insert(table).values(**row).on_conflict_do_nothing()
    return db.execute(statement.returning(*table.primary_key)).first() is not None


def insert_all_once(db: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those rows that no unique constraint already has."""
    if rows:
        db.execute(_dialect(db).insert(table).on_conflict_do_nothing(), rows)


def upsert(db: Connection, table: Table, row: Mapping[str, Any], key: Sequence[str]) -> None:
    """Insert, or replace the row with the same `key`."""
    changed = {name: value for name, value in row.items() if name not in key}
    statement = _dialect(db).insert(table).values(**row)
    db.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed))


def fields(row: Any, *without: str) -> dict[str, Any]:
    """Return a row of SQLAlchemy as a dictionary."""
    return {name: value for name, value in row._mapping.items() if name not in without}


def _dialect(connection: Connection) -> Any:
    """The dialect's own `insert`; imported on demand, as the other database's takes a fifth of a second."""
    return import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
