"""Population stability index (PSI) with its bias and p-value, and false-discovery control over many."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

SMOOTHING: Final = 0.5
"""Added to every count (Jeffreys), so that an empty bin weighs much but not infinitely."""


class IncomparableWindows(ValueError):
    """The counts have different bins, or one side is empty."""


@dataclass(frozen=True)
class Stability:
    """One feature between two windows."""

    psi: float
    """Nats, >= 0; 0 when the shares are equal."""
    bias: float
    """Expected PSI without drift: (bins - 1)(1/n + 1/m), times the dispersion."""
    p_value: float
    """Probability of a PSI this large without drift: PSI / (1/n + 1/m) / dispersion ~ chi-square."""
    reference_rows: int
    current_rows: int
    bins: int
    """Bins that are not empty on both sides."""
    dispersion: float = 1.0
    """Variance of the counts over that of independent rows."""

    @property
    def effect(self) -> float:
        """PSI beyond its bias."""
        return self.psi - self.bias


def population_stability(reference: ArrayLike, current: ArrayLike, dispersion: float = 1.0) -> Stability:
    """Return the PSI of two count vectors of shape (bins,) over the same bins.

    dispersion: variance of the counts over that of independent rows, >= 1.

    Raises IncomparableWindows when the shapes differ or one side is empty.
    """
    left: NDArray[np.float64] = np.asarray(reference, dtype=np.float64)
    right: NDArray[np.float64] = np.asarray(current, dtype=np.float64)
    if left.shape != right.shape or not (left.any() and right.any()):
        raise IncomparableWindows(f"{left.shape} and {right.shape} bins, {left.sum()} and {right.sum()} rows")
    used = (left + right) > 0
    left, right = left[used], right[used]
    n, m, bins = float(left.sum()), float(right.sum()), int(left.size)
    p = (left + SMOOTHING) / (n + SMOOTHING * bins)
    q = (right + SMOOTHING) / (m + SMOOTHING * bins)
    psi = float(np.sum((q - p) * np.log(q / p)))
    scale = (1 / n + 1 / m) * dispersion
    return Stability(psi, (bins - 1) * scale, _upper_tail(psi / scale, bins - 1), int(n), int(m), bins, dispersion)


def _upper_tail(value: float, freedom: int) -> float:
    """Return P(chi-square with `freedom` degrees > value); 1 when there is only one bin."""
    return float(_gammaincc()(freedom / 2, value / 2)) if freedom > 0 else 1.0


@lru_cache(maxsize=1)
def _gammaincc():  # type: ignore[no-untyped-def]  # scipy's ufunc
    from scipy.special import gammaincc  # scipy.stats would cost 100 ms and 30 MB more

    return gammaincc


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Return Benjamini-Hochberg q-values, in the order given."""
    if not p_values:
        return []
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)
    scaled = values[order] * values.size / np.arange(1, values.size + 1)
    q = np.minimum.accumulate(scaled[::-1])[::-1]
    result = np.empty_like(q)
    result[order] = np.minimum(q, 1.0)
    return [float(one) for one in result]
