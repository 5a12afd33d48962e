"""What every flavour turns into."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
ObjectArray = NDArray[np.object_]


class Predictor(Protocol):
    """A loaded model. Not made for concurrent calls: give it one thread."""

    @property
    def classes(self) -> tuple[str, ...]:
        """In the order of the scores' columns."""

    @property
    def shape(self) -> tuple[int, int]:
        """How many numeric and how many categorical features it takes."""

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        """Scores of shape (rows, classes), each row adding up to 1.

        numeric: shape (rows, numeric features), NaN where a value is missing (an infinity counts as missing).
        categorical: shape (rows, categorical features), str, or None where missing; an unknown value counts as missing.
        """
