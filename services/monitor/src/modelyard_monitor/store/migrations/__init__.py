"""Migrations of the monitor's ClickHouse tables: numbered SQL files, applied in order at every start.

Views come after all tables, as `SELECT *` means the columns that exist when a view is defined, and only by their newest
definition, so that no start brings an old one back.
"""

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Final

_VIEW: Final = re.compile(r"CREATE OR REPLACE VIEW (\w+)")


def statements() -> Iterator[str]:
    """Return every statement to run, in order: all tables, then each view by its newest definition."""
    views: dict[str, str] = {}
    for statement in _all_statements():
        if view := _view_of(statement):
            views[view] = statement  # a view that is defined again stays in its place: later ones may read from it
        else:
            yield statement
    yield from views.values()


def _view_of(statement: str) -> str:
    """Return the name of the view that a statement creates, else ''."""
    view = _VIEW.match(statement)
    return view[1] if view else ""


def _all_statements() -> Iterator[str]:
    folder = files("modelyard_monitor.store.migrations")
    for file in sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda e: e.name):
        lines = [line for line in file.read_text().splitlines() if not line.startswith("--")]
        for statement in "\n".join(lines).split(";\n"):
            if statement.strip():
                yield statement.strip().rstrip(";")
