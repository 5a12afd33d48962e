"""Migrations of the monitor's ClickHouse tables: numbered SQL files, applied in order at every start."""

from collections.abc import Iterator
from importlib.resources import files


def statements() -> Iterator[str]:
    """Return every statement of every migration, in order."""
    folder = files("modelyard_monitor.store.migrations")
    for file in sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda e: e.name):
        lines = [line for line in file.read_text().splitlines() if not line.startswith("--")]
        for statement in "\n".join(lines).split(";\n"):
            if statement.strip():
                yield statement.strip().rstrip(";")
