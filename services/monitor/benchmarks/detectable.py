"""Rises of the error rate that the detectors find, by size and by labels after the change.

    python services/monitor/benchmarks/detectable.py

Errors are independent. The version has a held-out error of 500 rows, or of the 150 that a first version of 750 rows
has, then 750 labels at its usual error rate, then a rise. Labels come in slices of 50, as in a backtest.
"""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from modelyard_contracts import OffsetRange
from modelyard_monitor.domain.error_rate import ErrorRateWatch
from modelyard_monitor.domain.rises import HeldOut
from modelyard_monitor.domain.rules import Rules

SLICE_LABELS: Final = 50
BEFORE_LABELS: Final = 750
USUAL_ERROR: Final = 0.14
RISES: Final = (0.0, 0.05, 0.07, 0.10, 0.15)
AFTER_LABELS: Final = (500, 750, 1_500, 3_000)
START: Final = datetime(2026, 1, 1, tzinfo=UTC)


def found_after(rise: float, held_out_rows: int, rng: np.random.Generator) -> float:
    """Labels after the change at the first finding; infinite if there is none within the largest of AFTER_LABELS."""
    watch, rules = ErrorRateWatch(), Rules()
    reference = HeldOut(rng.binomial(held_out_rows, USUAL_ERROR) / held_out_rows, held_out_rows)
    for first in range(0, BEFORE_LABELS + max(AFTER_LABELS), SLICE_LABELS):
        error = USUAL_ERROR + (rise if first >= BEFORE_LABELS else 0.0)
        outcomes = rng.binomial(1, error, SLICE_LABELS).tolist()
        covers = OffsetRange(topic="t", partition=0, first_offset=first, last_offset=first + SLICE_LABELS - 1)
        if watch.add(outcomes, covers, reference, rules, START + timedelta(seconds=first)) and first >= BEFORE_LABELS:
            return first + SLICE_LABELS - BEFORE_LABELS
    return float("inf")


def main() -> None:
    """Print one line per rise and reference."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=200)
    runs, rng = options.parse_args().runs, np.random.default_rng(1)
    print("held-out rows, rise: share found within", ", ".join(map(str, AFTER_LABELS)), "labels after the change")
    for held_out_rows in (150, 500):
        for rise in RISES:
            labels = np.array([found_after(rise, held_out_rows, rng) for _ in range(runs)])
            shares = [f"{np.mean(labels <= most):.0%}" for most in AFTER_LABELS]
            print(f"{held_out_rows}, {rise:.2f}: {', '.join(shares)}")


if __name__ == "__main__":
    main()
