"""Failures of a scoring process, classified by its exit code."""

from typing import Final

BROKEN: Final = 3
UNREACHABLE: Final = 4
UNUSABLE: Final = 5


class ModelBroken(Exception):
    """The artifact cannot be loaded, or its predictions are unusable."""


class SourceUnreachable(Exception):
    """ClickHouse does not answer."""


class RowsUnusable(Exception):
    """The rows do not have the required columns or labels."""


class NotConfined(Exception):
    """The version holds code of others, and this machine cannot confine a process."""


def exit_code(error: Exception) -> int:
    """Return 1 for an unexpected error: the service retries, and at last reports that it could not measure."""
    codes = {ModelBroken: BROKEN, SourceUnreachable: UNREACHABLE, RowsUnusable: UNUSABLE, NotConfined: UNUSABLE}
    return codes.get(type(error), 1)
