"""Normal variation of one subject: over-dispersion of its windows, and excursions that ended by themselves.

Rows of real traffic are not independent: bursts of one entity, daily cycles. Their counts vary more than multinomial
ones. Dividing chi-square by the over-dispersion is the first-order correction of Rao and Scott (1981), and
quasi-likelihood (McCullagh and Nelder, 1989, chapter 4.5). Decision 0082.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from modelyard_monitor.domain.psi import IncomparableWindows, population_stability

PAIRS: Final = 9
"""Newest pairs of neighbouring windows that the over-dispersion is learned from."""
MAX_DISPERSION: Final = 25.0
ENDED_WINDOWS: Final = 3
"""Windows in line after which an excursion has ended."""
BEYOND: Final = 1.5
"""An excursion is news when it is this much larger than, or twice as long as, those that ended by themselves."""


@dataclass
class Variation:
    """What is normal for one subject of one version. Bounded: one window of counts and a few numbers."""

    previous: tuple[int, ...] = ()
    ratios: tuple[float, ...] = ()
    """PSI of neighbouring windows over its expected value for independent rows, newest last."""
    peak: float = 0.0
    """Largest effect of the excursion that is going on."""
    windows: int = 0
    """Its length so far; 0 outside of one."""
    in_line: int = 0
    """Windows in line since its last window out of line."""
    known_peak: float = 0.0
    known_windows: int = 0
    """Largest and longest of the excursions that ended by themselves."""

    def add(self, counts: Sequence[int]) -> None:
        """Learn from a window how much neighbouring windows differ."""
        current = tuple(counts)
        try:
            pair = population_stability(self.previous, current)
        except IncomparableWindows:
            pass
        else:
            if pair.bias > 0:
                self.ratios = (*self.ratios, pair.psi / pair.bias)[-PAIRS:]
        self.previous = current

    def dispersion(self, reference: float) -> float:
        """Return the over-dispersion, >= 1: the reference's, or that of live windows if it is larger.

        The lower median of the pairs: an abrupt drift is one pair of nine, and a gradual one hardly shows in any.
        """
        live = sorted(self.ratios)[(len(self.ratios) - 1) // 2] if self.ratios else 1.0
        return min(max(1.0, reference, live), MAX_DISPERSION)

    def is_news(self, out_of_line: bool, effect: float) -> bool:
        """Note a window's verdict; return whether it is out of line by more than the excursions known so far.

        An excursion that returns to the reference without a new version was no lasting drift: a daily cycle, an
        outage. It is reported once, then only a larger or longer one.
        """
        if not out_of_line:
            self._note_in_line()
            return False
        self.in_line = 0
        self.windows += 1
        self.peak = max(self.peak, effect)
        return effect >= BEYOND * self.known_peak or self.windows > 2 * self.known_windows

    def _note_in_line(self) -> None:
        self.in_line += 1
        if not self.windows:
            return
        if self.in_line < ENDED_WINDOWS:
            self.windows += 1
            return
        self.known_peak = max(self.known_peak, self.peak)
        self.known_windows = max(self.known_windows, self.windows)
        self.peak, self.windows = 0.0, 0
