"""Migrations of the monitor's ClickHouse tables: numbered SQL files, applied in order at every start.

A view that a later file replaces is left out of the earlier ones, so that no start brings an old definition back.
"""

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Final

_VIEW: Final = re.compile(r"CREATE OR REPLACE VIEW (\w+)")


def statements() -> Iterator[str]:
    """Return every statement of every migration, in order."""
    found = list(_all_statements())
    newest = {view: place for place, statement in enumerate(found) if (view := _view_of(statement))}
    for place, statement in enumerate(found):
        if newest.get(_view_of(statement), place) == place:
            yield statement


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
