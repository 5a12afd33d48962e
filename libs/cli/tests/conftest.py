"""The width that commands print for is the tests' own, not the one of the terminal they are run from."""

import pytest

from modelyard_cli.output import PIPE_COLUMNS, console


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a pipe."""
    monkeypatch.setattr(console, "width", PIPE_COLUMNS)
