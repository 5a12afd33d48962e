"""Members that do harm: too many failed calls, or answers that come much later than those of the others. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

MIN_CALLS: Final = 50
"""Calls of a member before its failures or its latency count."""
SLOW_RATIO: Final = 5.0
"""Latency (p95) over the median of the other members; the gate's limit by default."""
SLOW_SHARE: Final = 0.25
"""Share of the route's time limit below which no member is too slow."""


@dataclass(frozen=True)
class Calls:
    """Calls of one member in a recent time."""

    version: int
    asked: int
    failed: int
    """Errors of the version and calls without an answer in time."""
    p95_ms: float


@dataclass(frozen=True)
class Harm:
    """What the calls of all members show."""

    members: dict[int, str]
    """Versions that must not answer any more, each with the reason."""
    all_fail: str = ""
    """Why the lead must answer alone; empty unless every member fails."""


def find_harm(calls: Sequence[Calls], max_error_rate: float, timeout_ms: float) -> Harm:
    """Blame a member only for what others do not have: all members get the same requests at the same time."""
    enough = [one for one in calls if one.asked >= MIN_CALLS]
    failing = [one for one in enough if one.failed > max_error_rate * one.asked]
    if failing and len(failing) == len(calls):
        worst = max(failing, key=_rate)
        return Harm({}, f"all members fail: of version {worst.version} {worst.failed} of {worst.asked} calls")
    least = min((_rate(one) for one in enough), default=0.0)
    found = {
        one.version: f"{one.failed} of {one.asked} calls failed; the limit is {max_error_rate:.1%}"
        for one in failing
        if _rate(one) > 2 * least
    }
    return Harm(found | {one.version: reason for one in enough if (reason := _slow(one, enough, timeout_ms))})


def _slow(one: Calls, calls: Sequence[Calls], timeout_ms: float) -> str:
    others = [other.p95_ms for other in calls if other.version != one.version]
    limit_ms = max(SLOW_RATIO * median(others), SLOW_SHARE * timeout_ms) if others else float("inf")
    if one.p95_ms <= limit_ms:
        return ""
    return f"95 % of its calls take up to {one.p95_ms:.0f} ms; the other members allow for {limit_ms:.0f} ms"


def _rate(one: Calls) -> float:
    return one.failed / one.asked
