"""Write a small table to try things on: who left, by age, spending, plan. Usage: make_churn.py FILE [ROWS]"""

import csv
import random
import sys


def main(path: str, rows: int) -> None:
    """The longer the calls and the higher the bill, the likelier to leave; gold customers stay."""
    chance = random.Random(11)  # noqa: S311 - an example, not a secret
    with open(path, "w", newline="") as file:  # noqa: PTH123 - plain is enough here
        out = csv.writer(file)
        out.writerow(["age", "monthly_bill", "support_calls", "plan", "left"])
        for _ in range(rows):
            age, bill, calls = chance.randint(18, 80), chance.gauss(40, 15), chance.randint(0, 9)
            plan = chance.choice(["basic", "plus", "gold"])
            lean = 0.04 * (bill - 40) + 0.35 * (calls - 4) - 0.02 * (age - 45) - (1.2 if plan == "gold" else 0)
            out.writerow([age, f"{bill:.2f}", calls, plan, "yes" if lean + chance.gauss(0, 1) > 0 else "no"])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 4_000)
