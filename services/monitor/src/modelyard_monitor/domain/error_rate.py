"""Error rate as labels arrive: ADWIN over single outcomes, and a sliding window against the reference."""

import math
from dataclasses import dataclass, field
from typing import Final

from modelyard_contracts import OffsetRange
from modelyard_monitor.domain.adwin import Adwin
from modelyard_monitor.domain.rules import ERROR_ALPHA, ERROR_CHECK_LABELS, MIN_LABELS, REFERENCE_LABELS, Rules

ADWIN_RECENT_LABELS: Final = 100
"""Number of last labels whose error rate an ADWIN alarm reports."""


@dataclass(frozen=True)
class Rise:
    """The error rate went up."""

    detector: str
    before: float
    after: float
    before_labels: int
    after_labels: int
    p_value: float | None
    against: str
    """Description of `before`, for the reason."""

    @property
    def by(self) -> float:
        """Absolute rise of the rate."""
        return self.after - self.before


@dataclass
class _Part:
    """One slice of the window; a window of whole slices can be counted again in SQL."""

    labels: int
    wrong: int
    covers: OffsetRange


@dataclass
class ErrorWatch:
    """Watches the errors of one version under one variant. An improvement is never a finding."""

    adwin: Adwin = field(default_factory=lambda: Adwin(recent=ADWIN_RECENT_LABELS))
    window: list[_Part] = field(default_factory=list)
    early: tuple[int, int] = (0, 0)
    """Labels and errors of the first window."""
    since_check: int = 0
    suspicious: bool = False
    """Whether the previous check found a rise."""

    def add(self, outcomes: tuple[int, ...], covers: OffsetRange, reference: float | None, rules: Rules) -> list[Rise]:
        """Take in a slice's outcomes, in order; return the rises they reveal."""
        if not outcomes:
            return []
        rises = [rise for outcome in outcomes if (rise := self._observe(outcome, rules)) is not None]
        self._slide(_Part(len(outcomes), sum(outcomes), covers), rules.error_window_labels)
        if self.early[0] < rules.error_window_labels:
            self.early = (self.early[0] + len(outcomes), self.early[1] + sum(outcomes))
        self.since_check += len(outcomes)
        if self.since_check >= ERROR_CHECK_LABELS:
            self.since_check = 0
            rises += self._check(reference, rules)
        return rises

    @property
    def labels(self) -> int:
        return sum(part.labels for part in self.window)

    @property
    def wrong(self) -> int:
        return sum(part.wrong for part in self.window)

    def _observe(self, outcome: int, rules: Rules) -> Rise | None:
        self.adwin.update(outcome)
        before, after = self.adwin.before, self.adwin.after
        if not self.adwin.drift_detected or after - before < rules.error_rise:
            return None
        return Rise("adwin", before, after, self.adwin.width, len(self.adwin.recent), None, "before")

    def _slide(self, part: _Part, size: int) -> None:
        self.window.append(part)
        while self.labels - self.window[0].labels >= size:
            del self.window[0]

    def _check(self, reference: float | None, rules: Rules) -> list[Rise]:
        baselines = [(reference, REFERENCE_LABELS, "on held-out rows")] if reference is not None else []
        if self.early[0] >= rules.error_window_labels:
            baselines.append((self.early[1] / self.early[0], self.early[0], "its first labels"))
        found = [rise for one in baselines if (rise := self._against(*one, rules)) is not None]
        confirmed, self.suspicious = self.suspicious and bool(found), bool(found)
        return [max(found, key=lambda rise: rise.by)] if confirmed else []

    def _against(self, before: float, before_labels: int, against: str, rules: Rules) -> Rise | None:
        labels = self.labels
        if labels < MIN_LABELS:
            return None
        after = self.wrong / labels
        p_value = rise_p_value(before, before_labels, after, labels)
        if after - before < rules.error_rise or p_value > ERROR_ALPHA:
            return None
        return Rise("window", before, after, before_labels, labels, p_value, against)


def rise_p_value(before: float, before_labels: int, after: float, after_labels: int) -> float:
    """Return the p-value of a one-sided two-proportion z-test for a rise of the rate."""
    pooled = (before * before_labels + after * after_labels) / (before_labels + after_labels)
    spread = math.sqrt(max(pooled * (1 - pooled), 1e-12) * (1 / before_labels + 1 / after_labels))
    return 0.5 * math.erfc((after - before) / spread / math.sqrt(2))
