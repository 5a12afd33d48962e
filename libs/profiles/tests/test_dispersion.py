"""Over-dispersion of blocks of rows, against hand calculations."""

import numpy as np
import pytest

from modelyard_profiles import over_dispersion, spread_over


def test_pearsons_chi_square_over_its_degrees_of_freedom() -> None:
    """Four blocks of ten with 2, 4, 6 and 8 ones: (9 + 1 + 1 + 9) / 5 for each bin, 3 degrees of freedom."""
    blocks = [np.array([1] * ones + [0] * (10 - ones)) for ones in (2, 4, 6, 8)]
    assert over_dispersion(np.concatenate(blocks), block_rows=10) == pytest.approx((20 / 5 + 20 / 5) / 3 / 1)


def test_independent_rows_have_none_and_repeated_rows_that_of_their_repeats() -> None:
    values = np.random.default_rng(1).integers(0, 10, 20_000)
    assert over_dispersion(values) < 1.25
    assert over_dispersion(np.repeat(values[:4_000], 5)) == pytest.approx(5.0, rel=0.25)


@pytest.mark.parametrize(("rows", "bins"), [(5_000, 1), (1_999, 7)])
def test_one_bin_or_few_blocks_have_none(rows: int, bins: int) -> None:
    assert over_dispersion(np.arange(rows) * 2 // 5 % bins) == 1.0


def test_a_dispersion_of_two_bins_is_one_of_nine_directions_of_ten() -> None:
    assert spread_over(10.0, 2, 10) == pytest.approx((10.0 + 8.0) / 9)
    assert spread_over(10.0, 2, 2) == 10.0
    assert spread_over(10.0, 2, 1) == 1.0
