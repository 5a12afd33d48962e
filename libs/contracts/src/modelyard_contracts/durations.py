"""Durations as people write them."""

import re
from typing import Final

UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def duration_s(text: str) -> float:
    """Seconds of a duration such as 30d, 12h, 90m or 45s; ValueError otherwise."""
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)([smhdw])", text.strip())
    if found is None:
        raise ValueError(f"{text[:80]!r} is no duration; write a number and s, m, h, d or w, such as 30d")
    return float(found[1]) * UNITS_S[found[2]]


def duration_text(seconds: float) -> str:
    """A duration in the largest unit that gives a whole number, such as 30m; else in seconds."""
    whole = [unit for unit, length in UNITS_S.items() if seconds >= length and seconds % length == 0]
    return f"{seconds / UNITS_S[whole[-1]]:.0f}{whole[-1]}" if whole else f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"
