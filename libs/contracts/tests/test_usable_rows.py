"""Conditions for usable rows; tests of the evaluator run them on ClickHouse."""

import pytest

from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_contracts.usable.rows import IncompatibleTasks, labelled_rows


def signature(task: Task, *classes: str) -> Signature:
    columns = (Column(name="age"), Column(name="plan", type=ColumnType.CATEGORY))
    return Signature(columns=columns, output=Output(task=task, classes=classes))


def test_classes_of_all_signatures_are_usable_labels() -> None:
    rows = labelled_rows({"a": signature(Task.BINARY, "no", "yes"), "b": signature(Task.MULTICLASS, "no", "maybe")})
    assert rows.parameters["classes"] == ["maybe", "no", "yes"]
    assert rows.parameters["signature_ids"] == ["a", "b"]
    assert (rows.parameters["signature_0"], rows.parameters["signature_1"]) == ("a", "b")
    assert rows.truth == "label"


def test_values_come_from_the_value_or_the_label() -> None:
    rows = labelled_rows({"a": signature(Task.REGRESSION)})
    assert rows.truth.startswith("coalesce(value, if(match(")
    assert "classes" not in rows.parameters


@pytest.mark.parametrize("other", [signature(Task.REGRESSION), signature(Task.TEXT)])
def test_signatures_without_a_common_label_are_refused(other: Signature) -> None:
    with pytest.raises(IncompatibleTasks, match=other.task):
        labelled_rows({"a": signature(Task.BINARY, "no", "yes"), "b": other})
