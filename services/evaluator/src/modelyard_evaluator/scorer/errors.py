"""Whose fault it was, as an exit code."""

from typing import Final

BROKEN: Final = 3
AWAY: Final = 4
REFUSED: Final = 5


class ModelBroken(Exception):
    """The artifact cannot be loaded, or does not answer."""


class SourceAway(Exception):
    """ClickHouse does not answer."""


class Unfit(Exception):
    """The rows are not what they should be."""


def exit_code(error: Exception) -> int:
    """1 for what nobody foresaw: the service tries again, and at last says that it could not be measured."""
    return {ModelBroken: BROKEN, SourceAway: AWAY, Unfit: REFUSED}.get(type(error), 1)
