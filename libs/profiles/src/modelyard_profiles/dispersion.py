"""Over-dispersion of a column in the order of time: how much blocks of rows differ from one another."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS: Final = 500
"""Rows of a block: the monitor's default window."""
MIN_BLOCKS: Final = 4
MAX_DISPERSION: Final = 25.0


def over_dispersion(bins: NDArray[np.int64], block_rows: int = BLOCK_ROWS) -> float:
    """Return the variance of block counts over that of independent rows, between 1 and MAX_DISPERSION.

    bins: bin of each row in the order of time, shape (rows,). Pearson's chi-square of homogeneity over its degrees of
    freedom, the quasi-likelihood estimate (McCullagh and Nelder, 1989, section 4.5). 1 with fewer than MIN_BLOCKS
    blocks, or a single bin.
    """
    blocks = bins.size // block_rows
    if blocks < MIN_BLOCKS:
        return 1.0
    used = bins[bins.size - blocks * block_rows :].reshape(blocks, block_rows)
    size = int(bins.max()) + 1
    counts = np.stack([np.bincount(block, minlength=size) for block in used]).astype(np.float64)
    counts = counts[:, counts.sum(axis=0) > 0]
    expected = counts.mean(axis=0)
    freedom = (blocks - 1) * (expected.size - 1)
    if not freedom:
        return 1.0
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return float(np.clip(statistic / freedom, 1.0, MAX_DISPERSION))


def spread_over(dispersion: float, bins: int, over: int) -> float:
    """Return the dispersion of `over` bins when the excess lies in the directions of fewer `bins`.

    The mean of the design effects, as Rao and Scott (1981) correct chi-square to the first order: `bins` - 1 directions
    have the given dispersion, the others 1.
    """
    directions, freedom = min(bins, over) - 1, over - 1
    return (directions * dispersion + freedom - directions) / freedom if freedom > 0 else 1.0
