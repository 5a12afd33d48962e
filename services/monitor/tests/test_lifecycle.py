"""The detect worker exits when a recovery does not end, and only then."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from modelyard_monitor.detect.lifecycle import EXIT_UNFINISHED, exit_when_stuck


@pytest.mark.parametrize(("rebalancing", "expected"), [(True, [EXIT_UNFINISHED]), (False, [])])
async def test_a_recovery_that_does_not_end_ends_the_worker(rebalancing: bool, expected: list[int]) -> None:
    app: Any = SimpleNamespace(should_stop=False, rebalancing=rebalancing)
    codes: list[int] = []

    def note(code: int) -> None:
        codes.append(code)
        app.should_stop = True

    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(exit_when_stuck(app, check_s=0.01, after_s=0.05, exit_=note), 0.5)
    assert codes == expected
