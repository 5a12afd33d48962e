"""To end with another process: who does work for one that has died does it for nobody."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from modelyard_trainer.jobs.rundir import RunDir

WATCH_S: Final = 0.5
"""How often to look whether the other one lives."""


@contextmanager
def ending_with(run_dir: RunDir, pid: int, what: str) -> Iterator[None]:
    """Within the block this process ends soon after `pid` no longer holds the folder. what: for the log."""
    left = threading.Event()
    threading.Thread(target=_look, args=(run_dir, pid, what, left), daemon=True).start()
    try:
        yield
    finally:
        left.set()


def _look(run_dir: RunDir, pid: int, what: str, left: threading.Event) -> None:
    while not left.wait(WATCH_S):
        if run_dir.holder != pid:
            print(f"{what} has ended, and so do I", file=sys.stderr, flush=True)
            os._exit(1)
