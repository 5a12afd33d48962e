"""The thresholds of all detectors and alerts."""

from dataclasses import dataclass
from typing import Final

PERSISTENCE: Final = (2, 3)
"""(needed, of): a feature has drifted when this many of the last windows were out of line."""
ERROR_ALPHA: Final = 1e-3
"""False-alarm probability of one check of the error rate; an alarm needs two consecutive ones."""
ERROR_CHECK_LABELS: Final = 50
MIN_LABELS: Final = 200
"""Fewer recent labels are not enough evidence."""
REFERENCE_LABELS: Final = 500
"""Largest number of held-out rows that a manifest's error is taken to be measured on."""
CRITICAL_RISE: Final = 0.10
"""Absolute rise of the error rate that is critical."""
CRITICAL_RELATIVE_RISE: Final = 0.50
"""Relative rise of the mean absolute error that is critical."""
CONSEQUENCE_ROWS: Final = 2_000
"""Drift of an input is a warning while an output or the error moved within this many rows."""
MEAN_SHIFT_SD: Final = 0.1
"""Smaller shifts of the mean, in standard deviations, are not reported."""
WORSE_FACTOR: Final = 1.5
"""Growth of the statistic that reports a finding again within its rest period."""
REQUEST_ERRORS_ROWS: Final = 100
REQUEST_ERRORS_WARNING: Final = 0.05
REQUEST_ERRORS_CRITICAL: Final = 0.10
BROKEN_VALUES_RISE: Final = 0.10
"""Share of missing, non-finite or unseen values above the reference's."""
REJECTED_LABELS_CHECK: Final = 50
"""Labels, at least, whose share of rejected ones is judged."""
REJECTED_LABELS_WARNING: Final = 0.05
REJECTED_LABELS_CRITICAL: Final = 0.5
UNUSABLE_ROWS_CHECK: Final = 100
UNUSABLE_ROWS_SHARE: Final = 0.05
"""Share of requests that break the signature and are left out of the counts."""
LABELS_MISSING_ROWS: Final = 5_000
"""Predictions without a label, after there were some, that raise an alert."""
LATE_LABEL_ROWS: Final = 2_000
"""Predictions that labels have not reached, from which on labels are late: drift of outputs is evidence then."""
BASELINE_ROWS: Final = 500
"""First rows of a version, from which the scale of its means is taken."""


@dataclass(frozen=True)
class Rules:
    """Thresholds that an operator may set (MONITOR_...)."""

    psi_window_rows: int = 500
    psi_floor: float = 0.1
    psi_fdr: float = 0.01
    micro_batch_rows: int = 100
    error_window_labels: int = 500
    error_rise: float = 0.03
    absolute_error_rise: float = 0.15
    rearm_rows: int = 2_000
    learns: bool = True
    """Whether thresholds of drift follow the normal variation of the traffic; simulations compare both."""
    errors_in_bursts: bool = False
    """Whether errors are taken as correlated when neighbouring labels differ much. On a stream whose concept changes
    all the time this hides rises that a retraining repairs (decision 0082)."""
