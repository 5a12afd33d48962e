"""Counts over frozen bins: nothing is lost, and parts add up to the whole."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from modelyard_profiles import (
    count_categories,
    count_numbers,
    numeric_edges,
    reference_categories,
    reference_numbers,
    reference_texts,
)

Column = NDArray[np.float64]
COLUMNS = hnp.arrays(np.float64, st.integers(1, 200), elements=st.floats(allow_nan=True, allow_infinity=True))


@given(COLUMNS)
def test_every_row_is_in_exactly_one_bin(values: Column) -> None:
    reference = reference_numbers("x", values)
    assert sum(reference.counts) == values.size


@given(COLUMNS, st.integers(0, 200))
def test_counts_of_parts_add_up(values: Column, cut: int) -> None:
    edges = numeric_edges(values)
    missing = np.isnan(values)
    whole = count_numbers(values, edges, missing)
    parts = [count_numbers(values[part], edges, missing[part]) for part in (slice(cut), slice(cut, None))]
    assert np.array_equal(whole, parts[0] + parts[1])


def test_missing_and_non_finite_values_have_bins_of_their_own() -> None:
    values = np.array([np.nan, np.nan, np.inf, -np.inf, 0.5, 2.5])
    missing = np.array([True, False, False, False, False, False])
    assert count_numbers(values, (1.0, 2.0), missing).tolist() == [1, 3, 0, 1, 0, 1]


def test_a_value_on_an_edge_belongs_to_the_bin_above() -> None:
    values = np.array([0.9, 1.0, 1.1])
    assert count_numbers(values, (1.0,), np.zeros(3, bool)).tolist() == [0, 0, 0, 1, 2]


def test_few_distinct_values_get_a_bin_each() -> None:
    assert numeric_edges(np.array([0.0, 1.0, 1.0, 3.0])) == (0.5, 2.0)


def test_a_constant_column_has_one_bin() -> None:
    assert numeric_edges(np.full(50, 7.0)) == ()


def test_edges_between_huge_values_are_finite() -> None:
    [edge] = numeric_edges(np.array([1.7e308, 1.6e308]))
    assert 1.6e308 < edge < 1.7e308


def test_deciles_across_the_whole_range_of_floats_are_finite_and_rise() -> None:
    far_apart = np.concatenate([np.arange(30) * 1e295 - 1.7e308, 1.7e308 - np.arange(20) * 1e295])
    edges = numeric_edges(far_apart)
    assert np.isfinite(edges).all()
    assert (np.diff(np.array(edges) / 2) > 0).all()


def test_neighbours_among_the_floats_share_an_edge() -> None:
    middle = np.nextafter(1.0, 2.0)
    edges = numeric_edges(np.array([np.nextafter(1.0, 0.0), 1.0, middle, np.nextafter(middle, 2.0)]))
    assert list(edges) == sorted(set(edges))


def test_many_values_are_cut_into_deciles() -> None:
    edges = numeric_edges(np.arange(1000, dtype=float))
    assert len(edges) == 9
    assert np.allclose(edges, np.arange(1, 10) * 99.9)


def test_a_column_without_any_value_has_one_empty_bin_whatever_its_kind() -> None:
    number = reference_numbers("n", np.full(5, np.nan))
    category = reference_categories("c", {None: 5})
    assert number.counts == category.counts == (5, 0, 0, 0)


def test_unknown_categories_are_counted_as_other() -> None:
    reference = reference_categories("plan", {"basic": 5, "pro": 7, None: 1})
    assert (reference.categories, reference.counts) == (("pro", "basic"), (1, 0, 0, 7, 5))
    assert count_categories({"pro": 1, "gold": 4, None: 2}, reference.categories).tolist() == [2, 0, 4, 1, 0]


def test_texts_are_counted_by_their_length() -> None:
    reference = reference_texts("review", ["ab", "cd", "efgh", None])
    assert (reference.edges, reference.counts) == ((3.0,), (1, 0, 0, 2, 1))
