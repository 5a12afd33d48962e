"""When a finding is worth saying; every number that decides is here."""

from dataclasses import dataclass
from typing import Final

PERSISTENCE: Final = (2, 3)
"""A feature has drifted when so many of the last so many windows said so."""
ERROR_ALPHA: Final = 1e-3
"""Chance of a look at the error rate that calls out when nothing moved; two looks in a row must."""
ERROR_LOOK_LABELS: Final = 50
MIN_LABELS: Final = 200
"""Fewer recent labels than this are no evidence."""
REFERENCE_LABELS: Final = 500
"""Rows that the error rate of a manifest is taken to rest on, as the manifest does not say."""
CRITICAL_RISE: Final = 0.10
MEAN_SHIFT_SD: Final = 0.1
"""A shift of the mean below a tenth of the standard deviation is not worth a word."""
WORSE_FACTOR: Final = 1.5
"""A finding is said again within its rest when its statistic grew by so much."""
REQUEST_ERRORS_ROWS: Final = 100
REQUEST_ERRORS_WARNING: Final = 0.05
REQUEST_ERRORS_CRITICAL: Final = 0.10
BROKEN_VALUES_RISE: Final = 0.10
"""Share of missing, non-finite or unseen values above the reference's."""
LABELS_MISSING_ROWS: Final = 5_000
"""So many predictions without a single label, after there were some."""
BASELINE_ROWS: Final = 500
"""First rows of a version, from which the scale of its means is taken."""


@dataclass(frozen=True)
class Rules:
    """What an operator may set (MONITOR_...)."""

    psi_window_rows: int = 500
    psi_floor: float = 0.1
    psi_fdr: float = 0.01
    micro_batch_rows: int = 100
    error_window_labels: int = 500
    error_rise: float = 0.03
    rearm_rows: int = 2_000
