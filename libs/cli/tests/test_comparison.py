"""A second file is compared with the version that serves before anything is uploaded: every difference is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_contracts.tables.comparison import check
from modelyard_contracts.tables.inference import Choices, infer
from modelyard_contracts.tables.table import UnfitFile, read_table

KNOWN = Signature(
    columns=(
        Column(name="age"),
        Column(name="plan", type=ColumnType.CATEGORY),
        Column(name="visits", type=ColumnType.INTEGER),
        Column(name="member", type=ColumnType.BOOLEAN),
    ),
    output=Output(task=Task.BINARY, name="left", classes=("no", "yes")),
)


@pytest.fixture
def differences(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """The notes on a file of these columns; UnfitFile names the differences."""

    def compare(header: str, *cells: str, choices: Choices | None = None) -> tuple[str, ...]:
        lines = [",".join(row) for row in zip(*(cell.split("|") for cell in cells), strict=True)]
        path = tmp_path / "t.csv"
        path.write_text("\n".join([header, *lines]))
        table = read_table(path)
        return check(infer(table, choices or Choices()), KNOWN)

    return compare


GOOD = ("1.5|2.5|NA", "a|b|a", "1|2|3", "true|false|true", "no|yes|no")


def test_the_same_columns_fit_in_any_order_and_with_missing_cells(differences: Callable[..., tuple[str, ...]]) -> None:
    assert differences("age,plan,visits,member,left", *GOOD) == ()
    assert differences("plan,age,member,visits,left", GOOD[1], GOOD[0], GOOD[3], GOOD[2], GOOD[4]) == ()
    assert differences("age,plan,visits,member,left", "1|2|3", *GOOD[1:]) == (), "whole numbers are numbers"


def test_new_columns_are_named_with_the_option_that_adds_them(differences: Callable[..., tuple[str, ...]]) -> None:
    [note] = differences("age,plan,visits,member,colour,left", *GOOD[:4], "r|g|b", GOOD[4])
    assert note == "not used, as the version that serves does not have them: colour (--new-contract adds them)"


@pytest.mark.parametrize(
    ("header", "changed", "message"),
    [
        (
            "age,plan,visits,member,left",
            {1: "1|2|3"},
            r"'plan' holds integer values, not category \(set --column",
        ),
        ("age,plan,visits,member,left", {2: "1.5|2|3"}, "column 'visits' holds number values, not integer"),
        ("age,plan,visits,member,left", {0: "young|old|old"}, "column 'age' holds category values, not number"),
        ("age,plan,visits,member,left", {3: "yes|no|no"}, "column 'member' holds category values, not boolean"),
        ("Age,plan,visits,member,left", {}, r"column 'age' is missing \(there is 'Age'; rename it\)"),
        ("age,plan,Visits_,member,left", {}, r"column 'visits' is missing \(there is 'Visits_'; rename it\)"),
        ("age,tariff,visits,member,left", {}, "column 'plan' is missing[;.]"),
        ("age,plan,visits,member,left", {4: "YES|no|no"}, "'left' has the classes YES, known are no, yes"),
        ("age,plan,visits,member,left", {4: "1|0|1"}, "'left' has the classes 0, 1, known are no, yes"),
        ("age,plan,visits,member,left", {4: "1.5|0.5|2.5"}, "the task is regression, not binary"),
    ],
)
def test_each_difference_is_named_with_the_remedy(
    differences: Callable[..., tuple[str, ...]], header: str, changed: dict[int, str], message: str
) -> None:
    cells = [changed.get(place, cell) for place, cell in enumerate(GOOD)]
    with pytest.raises(UnfitFile, match=message) as refused:
        differences(header, *cells)
    assert str(refused.value).endswith("or set --new-contract to make a new signature from it")


def test_all_differences_are_named_at_once(differences: Callable[..., tuple[str, ...]]) -> None:
    with pytest.raises(UnfitFile, match=r"'age' is missing.*'plan' holds integer.*has the classes NO, YES"):
        differences("Age,plan,visits,member,left", GOOD[0], "1|2|3", *GOOD[2:4], "NO|YES|NO")


def test_a_type_that_is_stated_is_taken(differences: Callable[..., tuple[str, ...]]) -> None:
    choices = Choices(types={"plan": ColumnType.CATEGORY})
    assert differences("age,plan,visits,member,left", GOOD[0], "1|2|3", *GOOD[2:], choices=choices) == ()
