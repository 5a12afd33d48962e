"""The result of a paired comparison."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Interval(NamedTuple):
    """Interval and p-value of a difference, and the method they come from."""

    low: float
    high: float
    p_value: float
    test: str


@dataclass(frozen=True)
class Estimate:
    """Challenger minus champion, with a two-sided interval and p-value."""

    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    wins: int
    """Rows where only the challenger is right; for log loss and values: where it is closer."""
    losses: int
