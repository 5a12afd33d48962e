"""Error rate as labels arrive: ADWIN over single outcomes, and a sliding window against the reference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from modelyard_contracts import OffsetRange
from modelyard_monitor.domain.adwin import Adwin
from modelyard_monitor.domain.change_point import NO_HISTORY, ErrorHistory, dated
from modelyard_monitor.domain.error_dispersion import INDEPENDENT, SUPPORT_LABELS, ErrorDispersion
from modelyard_monitor.domain.rises import NO_ERRORS, Errors, HeldOut, Part, Rise, errors_of, slide, tail, upper_tail
from modelyard_monitor.domain.rules import ERROR_ALPHA, ERROR_CHECK_LABELS, MIN_LABELS, Rules

ADWIN_RECENT_LABELS: Final = 100
"""Labels, at least, whose error rate an ADWIN alarm reports: the newest whole slices with as many."""


@dataclass
class ErrorRateWatch:
    """Watches the errors of one version under one variant. An improvement is never a finding."""

    adwin: Adwin = field(default_factory=lambda: Adwin(recent=ADWIN_RECENT_LABELS))
    window: list[Part] = field(default_factory=list)
    early: Errors = NO_ERRORS
    """Errors of the first window."""
    dispersion: ErrorDispersion = INDEPENDENT
    history: ErrorHistory = NO_HISTORY
    since_check: int = 0
    suspicious: bool = False
    """Whether the previous check found a rise."""

    def add(
        self,
        outcomes: Sequence[int],
        covers: OffsetRange,
        reference: HeldOut | None,
        rules: Rules,
        start: datetime,
    ) -> list[Rise]:
        """Take in a slice's outcomes (1 wrong, 0 right), in order; return the rises they reveal.

        start: prediction time of its first row.
        """
        if not outcomes:
            return []
        befores = [self.adwin.before for outcome in outcomes if self._drifted(outcome)]
        part = Part(len(outcomes), sum(outcomes), sum(outcomes), covers)
        slide(self.window, part, rules.error_window_labels)
        if self.early.labels < rules.error_window_labels:
            self.early = self.early.plus(part)
        self.dispersion = self.dispersion.plus(part) if rules.errors_in_bursts else INDEPENDENT
        self.history = self.history.plus(start, part.labels, part.total, part.squares)
        rises = [rise for before in befores if (rise := self._against_past(before, rules)) is not None]
        self.since_check += part.labels
        if self.since_check >= ERROR_CHECK_LABELS:
            self.since_check = 0
            rises += self._check(reference, rules)
        return dated(rises, self.history)

    def _drifted(self, outcome: int) -> bool:
        self.adwin.update(outcome)
        return self.adwin.drift_detected

    def _against_past(self, before: float, rules: Rules) -> Rise | None:
        parts = tail(self.window, ADWIN_RECENT_LABELS)
        recent = errors_of(parts)
        if recent.mean - before < rules.error_rise or not self._supported(before):
            return None
        covers = tuple(part.covers for part in parts)
        return Rise("adwin", before, recent.mean, self.adwin.width, recent.labels, None, "before", covers)

    def _supported(self, before: float) -> bool:
        """Return whether the last labels show the rise that ADWIN found; it takes single outcomes as independent."""
        dispersion, now = self.dispersion.value, errors_of(tail(self.window, SUPPORT_LABELS))
        if dispersion == 1.0:
            return True
        labels = max(1, self.adwin.before_values)
        return rise_p_value(before, labels, now.mean, now.labels, dispersion) <= ERROR_ALPHA

    def _check(self, reference: HeldOut | None, rules: Rules) -> list[Rise]:
        baselines = [(reference.error, reference.labels, "on held-out rows")] if reference is not None else []
        if self.early.labels >= rules.error_window_labels:
            baselines.append((self.early.mean, self.early.labels, "its first labels"))
        found = [rise for one in baselines if (rise := self._against(*one, rules)) is not None]
        confirmed, self.suspicious = self.suspicious and bool(found), bool(found)
        return [max(found, key=lambda rise: rise.by)] if confirmed else []

    def _against(self, before: float, before_labels: int, against: str, rules: Rules) -> Rise | None:
        now = errors_of(self.window)
        if now.labels < MIN_LABELS:
            return None
        p_value = rise_p_value(before, before_labels, now.mean, now.labels, self.dispersion.value)
        if now.mean - before < rules.error_rise or p_value > ERROR_ALPHA:
            return None
        covers = tuple(part.covers for part in self.window)
        return Rise("window", before, now.mean, before_labels, now.labels, p_value, against, covers)


def rise_p_value(before: float, before_labels: int, after: float, after_labels: int, dispersion: float = 1.0) -> float:
    """Return the p-value of a one-sided two-proportion z-test for a rise of the rate.

    dispersion: variance of both rates over that of independent errors.
    """
    pooled = (before * before_labels + after * after_labels) / (before_labels + after_labels)
    spread = math.sqrt(max(pooled * (1 - pooled), 1e-12) * dispersion * (1 / before_labels + 1 / after_labels))
    return upper_tail((after - before) / spread)
