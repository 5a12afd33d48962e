"""`modelyard.yaml` is strict, and its errors name line and field."""

from pathlib import Path

import pytest

from modelyard_contracts.signature import Task
from modelyard_own import DESCRIPTION_FILE, Description, UnfitModel
from modelyard_own.description import described_in


def described(folder: Path, text: str) -> Description:
    (folder / DESCRIPTION_FILE).write_text(text)
    return described_in(folder)


def test_facts_are_read_and_a_sample_is_relative_to_the_folder(tmp_path: Path) -> None:
    found = described(tmp_path, "task: binary\nsample: rows.csv\nclasses: [no, yes]\nprice:\n  usd_per_call: 0.01\n")
    assert found.task is Task.BINARY
    assert found.classes == ("no", "yes"), "no boolean"
    assert found.sample == str(tmp_path / "rows.csv")
    assert found.price is not None and found.price.usd_per_call == 0.01


def test_options_win_over_the_file(tmp_path: Path) -> None:
    stated = described(tmp_path, "task: binary\nowner: risk\n")
    both = Description(task=Task.MULTICLASS).over(stated)
    assert (both.task, both.owner) == (Task.MULTICLASS, "risk")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task: binary\ntarget: y\nclases: [a]\n", "line 3: clases"),
        ("owner: risk\ntask: guess\n", "line 2: task"),
        ("columns:\n  age: number\n  city: town\n", "line 3: columns.city"),
        ("price:\n  usd_per_call: -1\n", "line 2: price.usd_per_call"),
        ("task: [\n", "line 2"),
        ("- task\n", "line 1: must be fields"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(UnfitModel, match=expected.replace("[", r"\[").replace(".", r"\.")):
        described(tmp_path, text)


def test_an_empty_file_states_nothing(tmp_path: Path) -> None:
    assert described(tmp_path, "# nothing yet\n") == Description() == described_in(tmp_path / "no")
