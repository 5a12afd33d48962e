"""Windows of time that pages offer in their query string."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from modelyard_runtime.errors import Invalid

ALL: Final = "all"
WINDOWS: Final = {
    "1h": ("last hour", timedelta(hours=1)),
    "6h": ("last 6 hours", timedelta(hours=6)),
    "24h": ("last 24 hours", timedelta(hours=24)),
    "7d": ("last 7 days", timedelta(days=7)),
    "30d": ("last 30 days", timedelta(days=30)),
}
"""Value in the query to its title and length."""
CHOICES: Final = [*((value, title) for value, (title, _) in WINDOWS.items()), (ALL, "all times")]
SHORT: Final = [(value, WINDOWS[value][0]) for value in ("1h", "6h", "24h", "7d")]
"""For charts over intervals of equal length."""


def start_of(window: str, now: datetime) -> datetime | None:
    """Start of a window; None for all times. Invalid names the choices."""
    _require(window, CHOICES)
    return None if window == ALL else now - WINDOWS[window][1]


def length_of(window: str) -> timedelta:
    """Length of one of the SHORT windows. Invalid names the choices."""
    _require(window, SHORT)
    return WINDOWS[window][1]


def _require(window: str, choices: Sequence[tuple[str, str]]) -> None:
    if window not in dict(choices):
        raise Invalid(f"window: choose one of {', '.join(dict(choices))}", field="window")
