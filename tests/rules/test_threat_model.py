"""docs/threat-model.md: every threat names its wall and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
DEFINED = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
PAGE = (ROOT / "docs/threat-model.md").read_text()
HEADER = "| threat | wall | left | test |"


def threats(text: str) -> list[list[str]]:
    """Rows of all tables of threats."""
    tables = re.findall(rf"^{re.escape(HEADER)}\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    lines = [line for table in tables for line in table.splitlines()]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def complaints(text: str) -> list[str]:
    found = [
        f"four cells are needed: {' | '.join(row)}" for row in threats(text) if len(row) != len(HEADER.split("|")) - 2
    ]
    found += [f"no wall or no test: {row[0]}" for row in threats(text) if not row[1] or not NAMED.search(row[-1])]
    for path, name in NAMED.findall(text):
        file = ROOT / path
        if not file.is_file() or name not in DEFINED.findall(file.read_text()):
            found.append(f"there is no {path}::{name}")
    return found


def test_every_threat_has_a_wall_and_tests_that_exist() -> None:
    assert len(threats(PAGE)) >= 40
    assert complaints(PAGE) == []


def test_every_actor_has_a_table_of_threats() -> None:
    actors = re.search(r"^## Actors\n\|.*\n\|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert actors
    named = [line.split("|")[1].strip() for line in actors[1].splitlines()]
    headings = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert [actor for actor in named if not any(actor in heading for heading in headings)] == []


@pytest.mark.parametrize(
    "row",
    [
        "| a threat | a wall | | |",
        "| a threat | | | `tests/rules/test_threat_model.py::test_every_actor_has_a_table_of_threats` |",
        "| a threat | a wall | | `tests/rules/test_threat_model.py::test_unknown` |",
        "| a threat | a wall | `tests/rules/test_threat_model.py::test_every_actor_has_a_table_of_threats` |",
    ],
)
def test_a_threat_without_a_test_or_a_wall_is_found(row: str) -> None:
    assert complaints(f"{HEADER}\n|---|---|---|---|\n{row}\n")
