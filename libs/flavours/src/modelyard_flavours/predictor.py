"""The interface of every loaded model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from modelyard_contracts.inference.generate import Prompt, Usage

FloatArray = NDArray[np.float64]
ObjectArray = NDArray[np.object_]
LENGTH: Final = "length"
"""Reason of an answer that ends because a number of tokens was reached."""


@dataclass(frozen=True)
class Ended:
    """End of an answer as a provider reports it, returned by a generator that counts by itself."""

    finish_reason: str
    usage: Usage | None
    """None if the provider reports none."""


class Predictor(Protocol):
    """A loaded model. Not safe for concurrent calls: give it one thread. Each row is answered by itself."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes in the order of the scores' columns; empty for a regression."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of numeric and of categorical features."""

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        """Scores of shape (rows, classes) that add up to 1 per row, or values of shape (rows, 1) of a regression.

        numeric: shape (rows, numeric features) in the order of `signature.numeric`, NaN where a value is missing; an
        infinity or a number beyond float32 counts as missing. categorical: shape (rows, categorical features) in the
        order of `signature.categorical`, texts included; None where missing; an unknown category counts as missing.
        """


class Generator(Protocol):
    """A loaded model that answers a text or a chat with a text. Not safe for concurrent calls: give it one thread."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Always empty."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of numeric and of categorical features: no number and one text."""

    def generate(self, prompt: Prompt, parameters: Mapping[str, Any]) -> Iterator[str]:
        """Pieces of the answer, one per token. The caller closes the iterator when it needs no more.

        A generator returns LENGTH if a limit of its own ended the answer, or Ended. BadParameter names `messages` if
        the model takes no chat.
        """

    def count_tokens(self, prompt: Prompt) -> int:
        """Number of tokens of a prompt, for usage and cost."""
