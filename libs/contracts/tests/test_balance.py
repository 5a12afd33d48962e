"""The metric and the held-out rows that follow from the class balance of a target."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_contracts.balance import MIN_MINORITY_ROWS, class_metric, held_out_rows, minority_rows


@pytest.mark.parametrize(
    ("counts", "metric"),
    [
        ([50, 50], "accuracy"),
        ([90, 10], "accuracy"),
        ([91, 9], "macro_f1"),
        ([10_000, 17], "macro_f1"),
        ([], "accuracy"),
    ],
)
def test_accuracy_is_no_metric_for_a_rare_class(counts: list[int], metric: str) -> None:
    assert class_metric(counts) == metric


def test_more_rows_are_held_out_until_a_rare_class_has_enough() -> None:
    balanced, rare = ["a", "b"] * 2_000, (["a"] * 49 + ["b"]) * 200
    assert held_out_rows(balanced, 500) == 500
    assert held_out_rows(rare, 500) == 951 and minority_rows(rare[-951:]) == MIN_MINORITY_ROWS
    assert held_out_rows(rare, 500, live_rows=1_000) == 200, "at most a fifth of the live rows"
    assert held_out_rows(["a"] * 5_000, 500) == 1_000, "a fifth, as there is no other class"
    assert held_out_rows([], 500, live_rows=10_000) == 500, "values have no classes"


@given(st.lists(st.sampled_from("ab"), max_size=300), st.integers(1, 100))
def test_never_more_than_a_fifth_is_held_out(targets: list[str], wanted: int) -> None:
    held = held_out_rows(targets, wanted)
    assert min(wanted, len(targets) // 5) <= held <= len(targets) // 5
