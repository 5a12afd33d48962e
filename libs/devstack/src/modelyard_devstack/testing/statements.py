"""Statements that reach a database: their number, and how SQLite runs them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def statements(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """Yield the statements, with parameters, that are executed until the block ends."""
    found: list[tuple[str, Any]] = []

    def before(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        found.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", before)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", before)


def plans(engine: Engine, executed: list[tuple[str, Any]]) -> str:
    """Return how SQLite runs the queries among these statements, a line per step."""
    with engine.connect() as connection:
        rows = [
            row
            for statement, parameters in executed
            if statement.lstrip().upper().startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    return "\n".join(row[3] for row in rows)
