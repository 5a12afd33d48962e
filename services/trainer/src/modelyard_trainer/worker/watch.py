"""End this process when the process that it works for ends."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from modelyard_trainer.jobs.rundir import RunDir

WATCH_S: Final = 0.5
"""Interval between checks of the other process."""


@contextmanager
def ending_with(run_dir: RunDir, pid: int, what: str) -> Iterator[None]:
    """Within the block, this process ends soon after `pid` no longer holds the folder. what: its name in the log."""
    left = threading.Event()
    threading.Thread(target=_watch, args=(run_dir, pid, what, left), daemon=True).start()
    try:
        yield
    finally:
        left.set()


def _watch(run_dir: RunDir, pid: int, what: str, left: threading.Event) -> None:
    while not left.wait(WATCH_S):
        if run_dir.holder != pid:
            print(f"{what} has ended; ending too", file=sys.stderr, flush=True)
            os._exit(1)
