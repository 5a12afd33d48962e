"""docs/faults.md: the tests it names exist, and it names every test of this folder."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
DEFINED = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)


def missing(text: str, root: Path = ROOT) -> list[str]:
    """Tests that the table names but no file defines."""
    sources = {path: (root / path).read_text() if (root / path).exists() else "" for path, _ in NAMED.findall(text)}
    return [f"{path}::{name}" for path, name in NAMED.findall(text) if name not in DEFINED.findall(sources[path])]


def rows(text: str) -> list[list[str]]:
    cells = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [row for row in cells if not set("".join(row)) <= set("-") and row[0].strip() != "fault"]


def test_every_test_of_the_table_exists() -> None:
    text = (ROOT / "docs/faults.md").read_text()
    assert missing(text) == []
    assert len(rows(text)) > 25
    assert [row for row in rows(text) if len(row) != 3 or not NAMED.search(row[2])] == []


def test_every_test_of_this_folder_is_in_the_table() -> None:
    named = {name for path, name in NAMED.findall((ROOT / "docs/faults.md").read_text()) if "tests/faults/" in path}
    here = {
        name
        for file in Path(__file__).parent.glob("test_*.py")
        if file.name != Path(__file__).name
        for name in DEFINED.findall(file.read_text())
    }
    assert here == named


@pytest.mark.parametrize("name", ["tests/faults/test_table.py::test_unknown", "tests/nowhere/test_no.py::test_x"])
def test_a_test_that_is_not_there_is_found(name: str) -> None:
    assert missing(f"| a | b | `{name}` |") == [name]
