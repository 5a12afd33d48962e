"""Absolute error of a regression as labels arrive: ADWIN over micro-batches, and a window against the reference MAE."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from modelyard_contracts import FeatureSlice, OffsetRange
from modelyard_monitor.domain.change_point import NO_HISTORY, ErrorHistory, dated
from modelyard_monitor.domain.error_dispersion import INDEPENDENT, SUPPORT_LABELS, ErrorDispersion
from modelyard_monitor.domain.mean_shift import MeanWatch
from modelyard_monitor.domain.rises import NO_ERRORS, Errors, HeldOut, Part, Rise, errors_of, slide, tail, upper_tail
from modelyard_monitor.domain.rules import ERROR_ALPHA, ERROR_CHECK_LABELS, MIN_LABELS, Rules

BATCH_LABELS: Final = 50
"""Labels, at least, per mean that ADWIN observes."""
RECENT_LABELS: Final = 200
"""Labels, at least, whose mean an ADWIN alarm reports: the newest whole slices with as many."""

MAX_ERROR: Final = 1e150
"""A larger error counts as this one, so that sums of squares stay finite."""


@dataclass
class AbsoluteErrorWatch:
    """Watches |value - label| of one version under one variant. An improvement is never a finding."""

    mean: MeanWatch = field(default_factory=MeanWatch)
    slices: int = 0
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
        errors: Sequence[float],
        covers: OffsetRange,
        reference: HeldOut | None,
        rules: Rules,
        start: datetime,
    ) -> list[Rise]:
        """Take in a slice's absolute errors, in the unit of the target; return the rises they reveal.

        reference: mean absolute error on held-out rows. start: prediction time of its first row.
        """
        if not errors:
            return []
        errors = [min(error, MAX_ERROR) for error in errors]
        part = Part(len(errors), math.fsum(errors), math.fsum(error * error for error in errors), covers)
        slide(self.window, part, rules.error_window_labels)
        if self.early.labels < rules.error_window_labels:
            self.early = self.early.plus(part)
        self.dispersion = self.dispersion.plus(part) if rules.errors_in_bursts else INDEPENDENT
        self.history = self.history.plus(start, part.labels, part.total, part.squares)
        rises = self._against_past(part, rules)
        self.since_check += part.labels
        if self.since_check >= ERROR_CHECK_LABELS:
            self.since_check = 0
            rises += self._check(reference, rules)
        return dated(rises, self.history)

    def _against_past(self, part: Part, rules: Rules) -> list[Rise]:
        self.mean.add(
            FeatureSlice(name="", counts=(), finite=part.labels, total=part.total, total_squares=part.squares)
        )
        self.slices += 1
        shift = self.mean.close(self.slices, BATCH_LABELS)
        parts = tail(self.window, RECENT_LABELS)
        recent = errors_of(parts)
        if shift is None or recent.mean < shift.before * (1 + rules.absolute_error_rise):
            return []
        if not self._supported(shift.before):
            return []
        covers = tuple(one.covers for one in parts)
        width = self.mean.adwin.width * BATCH_LABELS
        return [Rise("adwin", shift.before, recent.mean, width, recent.labels, None, "before", covers)]

    def _supported(self, before: float) -> bool:
        """Return whether the last labels show the rise that ADWIN found; it takes micro-batches as independent."""
        dispersion, now = self.dispersion.value, errors_of(tail(self.window, SUPPORT_LABELS))
        if dispersion == 1.0:
            return True
        labels = max(1, self.mean.adwin.before_values) * BATCH_LABELS
        return mean_rise_p_value(before, now.variance, labels, now, dispersion) <= ERROR_ALPHA

    def _check(self, reference: HeldOut | None, rules: Rules) -> list[Rise]:
        now = errors_of(self.window)
        baselines: list[tuple[float, float, int, str]] = []
        if reference is not None and reference.error:
            # The manifest states no variance; errors are taken to scale with their mean.
            variance = now.variance * (reference.error / now.mean) ** 2 if now.mean else 0.0
            baselines.append((reference.error, variance, reference.labels, "on held-out rows"))
        if self.early.labels >= rules.error_window_labels and self.early.mean > 0:
            baselines.append((self.early.mean, self.early.variance, self.early.labels, "its first labels"))
        found = [rise for one in baselines if (rise := self._against(now, *one, rules)) is not None]
        confirmed, self.suspicious = self.suspicious and bool(found), bool(found)
        return [max(found, key=lambda rise: rise.relative)] if confirmed else []

    def _against(
        self, now: Errors, before: float, variance: float, before_labels: int, against: str, rules: Rules
    ) -> Rise | None:
        if now.labels < MIN_LABELS:
            return None
        p_value = mean_rise_p_value(before, variance, before_labels, now, self.dispersion.value)
        if now.mean < before * (1 + rules.absolute_error_rise) or p_value > ERROR_ALPHA:
            return None
        covers = tuple(part.covers for part in self.window)
        return Rise("window", before, now.mean, before_labels, now.labels, p_value, against, covers)


def mean_rise_p_value(
    before: float, variance: float, before_labels: int, now: Errors, dispersion: float = 1.0
) -> float:
    """Return the p-value of a one-sided Welch test (normal approximation) for a rise of the mean.

    dispersion: variance of both means over that of independent errors.
    """
    spread = math.sqrt(dispersion * (variance / before_labels + now.variance / now.labels))
    if not spread:
        return 0.0 if now.mean > before else 1.0
    return upper_tail((now.mean - before) / spread)
