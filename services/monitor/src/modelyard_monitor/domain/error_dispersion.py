"""Over-dispersion of errors in the order in which labels arrive: wrong answers come in bursts."""

import math
from dataclasses import dataclass, replace
from typing import Final

from modelyard_monitor.domain.rises import NO_ERRORS, Errors, Part

BLOCK_LABELS: Final = 100
PAIRS: Final = 30
"""Newest pairs of neighbouring blocks that count."""
TRIMMED: Final = 10
"""The largest tenth of the pairs, at least one, is left out: an abrupt rise of the error is one pair."""
TRIMMED_MEAN: Final = 0.623
"""Mean of a chi-square variable with one degree of freedom below its 90 % quantile: P(chi2_3 < 2.706) / 0.9."""
MAX_DISPERSION: Final = 50.0
SUPPORT_LABELS: Final = 500
"""Newest labels that must show a rise of correlated errors."""
CORRELATED: Final = 2.0
"""Over-dispersion from which on errors are taken as correlated: 2 % of independent streams reach it by chance."""


@dataclass(frozen=True)
class ErrorDispersion:
    """Squared differences of neighbouring blocks (von Neumann, 1941) over those of independent errors."""

    filling: Errors = NO_ERRORS
    previous: Errors = NO_ERRORS
    """The last full block."""
    ratios: tuple[float, ...] = ()

    def plus(self, part: Part) -> "ErrorDispersion":
        """Return the dispersion with one more slice."""
        block = self.filling.plus(part)
        if block.labels < BLOCK_LABELS:
            return replace(self, filling=block)
        ratio = _ratio(self.previous, block)
        ratios = self.ratios if ratio is None else (*self.ratios, ratio)[-PAIRS:]
        return ErrorDispersion(NO_ERRORS, block, ratios)

    @property
    def value(self) -> float:
        """Variance of the mean over that of independent errors; 1 below CORRELATED."""
        cut = max(1, len(self.ratios) // TRIMMED)
        used = sorted(self.ratios)[:-cut]
        mean = math.fsum(used) / len(used) / TRIMMED_MEAN if used else 1.0
        return min(mean, MAX_DISPERSION) if mean >= CORRELATED else 1.0


def _ratio(left: Errors, right: Errors) -> float | None:
    """Return the squared difference of two means over its expected value; None without errors that vary."""
    if not left.labels:
        return None
    both = Errors(left.labels + right.labels, left.total + right.total, left.squares + right.squares)
    expected = both.variance * (1 / left.labels + 1 / right.labels)
    return (left.mean - right.mean) ** 2 / expected if expected > 0 else None


INDEPENDENT: Final = ErrorDispersion()
"""Before any label, errors are taken as independent."""
