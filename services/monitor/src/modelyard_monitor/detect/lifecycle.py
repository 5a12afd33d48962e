"""When the worker reports that it is ready, and when it exits by itself."""

import asyncio
import os
from collections.abc import Callable
from typing import Any, Final

from modelyard_monitor.detect.supervisor import PARENT_VARIABLE
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

CHECK_S: Final = 2.0
EXIT_UNFINISHED: Final = 3
STUCK_AFTER_S: Final = 300.0
"""A longer recovery has failed silently: Faust gives up for good when the broker is away meanwhile."""

Exit = Callable[[int], Any]
"""Ends the process at once, with an exit code; os._exit."""


async def report_ready(app: Any, name: str) -> None:
    """Print `ready NAME` once the app has partitions and its table is recovered."""
    while not (app.consumer.assignment() and app.tables.actives_ready and not app.rebalancing):  # noqa: ASYNC110  Faust has no event for it
        await asyncio.sleep(0.1)
    print(f"\nready {name}\n", end="", flush=True)  # one write, on a line of its own: the worker prints as well


async def exit_when_stuck(
    app: Any, *, check_s: float = CHECK_S, after_s: float = STUCK_AFTER_S, exit_: Exit = os._exit
) -> None:
    """Exit when a rebalance or recovery takes longer than `after_s`; the supervisor restarts the worker."""
    since: float | None = None
    while not app.should_stop:
        await asyncio.sleep(check_s)
        now = asyncio.get_running_loop().time()
        since = (since or now) if app.rebalancing else None
        if since is not None and now - since > after_s:
            log.error("the table was not recovered in time, exiting", seconds=after_s)
            exit_(EXIT_UNFINISHED)


async def follow_parent(exit_: Exit = os._exit) -> None:
    """Exit when the service that started this worker is gone."""
    parent = os.environ.get(PARENT_VARIABLE)
    while parent and os.getppid() == int(parent):  # noqa: ASYNC110  the kernel has no event for it either
        await asyncio.sleep(CHECK_S)
    if parent:
        log.warning("the service is gone, exiting")
        exit_(0)
