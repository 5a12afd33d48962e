"""How often a version that is no better passes the gate over all looks, and how many rows a better one needs.

    python services/evaluator/benchmarks/gate_errors.py [--pairs 10000] [--rows 10000] [--every 20]

Simulated pairs, looked at from 100 labelled rows on, then after every 20, until 10,000. `better`: both versions are
equally good (A/A). `not_worse`: the challenger is worse by exactly the margin of 0.02. At 95 % confidence at most 5 %
may pass. Minutes on one core with the defaults; exit code 1 if a share is above 5 %.
"""

import argparse
import sys
from typing import Final

from modelyard_evaluator.domain.statistics.simulation import Gate, passed

ALPHA: Final = 0.05
DISCORDANT: Final = (0.02, 0.1, 0.3)
"""Share of rows that only one of the versions gets right."""
BETTER: Final = Gate("better", 0.0, ALPHA)
NOT_WORSE: Final = Gate("not_worse", 0.02, ALPHA)
ONCE: Final = Gate("better", 0.0, ALPHA, sequential=False)


def errors(pairs: int, rows: int, every: int) -> list[float]:
    """Print the shares of versions that pass and should not; return those of the confidence sequences."""
    print(f"\n{pairs:,} pairs, looks every {every} rows until {rows:,}: share that passes wrongly\n")
    print("| only one right | better, A/A | not_worse, worse by the margin | one-look test at every look, A/A |")
    print("|---|---|---|---|")
    found = []
    for discordant in DISCORDANT:
        options = {"pairs": pairs, "rows": rows, "every": every}
        equal = passed(BETTER, 0.0, discordant, **options).share
        boundary = passed(NOT_WORSE, -NOT_WORSE.margin, discordant, **options).share
        once = passed(ONCE, 0.0, discordant, **options).share
        print(f"| {discordant:.0%} | {equal:.2%} | {boundary:.2%} | {once:.1%} |", flush=True)
        found += [equal, boundary]
    return found


def power(pairs: int, rows: int, every: int) -> None:
    """Print how many better versions pass, and the median of their rows."""
    print(f"\n{pairs:,} pairs: share that passes until {rows:,} rows, median rows\n")
    print("| true gain | only one right | better | not_worse, margin 0.02 |")
    print("|---|---|---|---|")
    for gain in (0.0, 0.01, 0.02, 0.05, 0.1):
        for discordant in (0.1, 0.3):
            options = {"pairs": pairs, "rows": rows, "every": every}
            cells = [passed(gate, gain, discordant, **options) for gate in (BETTER, NOT_WORSE)]
            shown = " | ".join(f"{one.share:.0%}, {one.median_rows:,.0f}" for one in cells)
            print(f"| {gain:+.2f} | {discordant:.0%} | {shown} |", flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=20)
    given = parser.parse_args()
    found = errors(given.pairs, given.rows, given.every)
    power(max(1, given.pairs // 10), given.rows, given.every)
    sys.exit(1 if max(found) > ALPHA else 0)


if __name__ == "__main__":
    main()
