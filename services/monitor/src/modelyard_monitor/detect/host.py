"""Keep the detect worker running: fork it from a process that has imported everything, and again when it dies.

Importing Faust and the detectors costs more than a second of CPU, which a restarted worker need not spend. Forking is
safe only from a process with one thread; with more of them the worker runs in this process, as on other systems.
"""

import ctypes
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from modelyard_monitor.detect.supervisor import ENDED, PARENT_VARIABLE
from modelyard_runtime.log import get_logger

log = get_logger(__name__)

CHECK_S: Final = 2.0
"""Interval of the check that the service which started this process is still there."""
PAUSE_MIN_S: Final = 0.05
PAUSE_MAX_S: Final = 30.0
HEALTHY_AFTER_S: Final = 20.0
"""A worker that ran for longer is replaced at once; one that ends sooner, after longer and longer pauses."""
SIGNALS: Final = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
_PR_SET_PDEATHSIG: Final = 1

Work = Callable[[], int]
"""Runs until SIGTERM, and returns an exit code."""


def keep_running(work: Work) -> int:
    """Run `work` in forked processes, one after the other, until SIGTERM; return the last exit code."""
    if not _may_fork():
        return work()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    parent, pause_s = os.environ.get(PARENT_VARIABLE), PAUSE_MIN_S
    while True:
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _become(work)
        code, stopped = _watch(child, int(parent) if parent else None)
        if stopped:
            return code
        print(f"\n{ENDED.decode()} with code {code}\n", end="", flush=True)
        log.error("the worker ended, replacing it", code=code)
        pause_s = PAUSE_MIN_S if time.monotonic() - started > HEALTHY_AFTER_S else pause_s
        if signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, pause_s):
            return 0
        pause_s = min(pause_s * 2, PAUSE_MAX_S)


def _may_fork() -> bool:
    return sys.platform == "linux" and len(list(Path("/proc/self/task").iterdir())) == 1


def _become(work: Work) -> NoReturn:
    """Run the worker in this new process, which ends with the process that forked it."""
    host = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    os.environ[PARENT_VARIABLE] = str(host)
    random.seed()
    code = 1
    try:
        code = work()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _watch(child: int, parent: int | None) -> tuple[int, bool]:
    """Wait for the end of the worker; return its exit code, and whether it was asked to end.

    parent: the service that started this process; the worker ends with it.
    """
    stopped = False
    while True:
        received = signal.sigtimedwait(SIGNALS, CHECK_S)
        if received and received.si_signo != signal.SIGCHLD:
            stopped = True
            os.kill(child, signal.SIGTERM)
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), stopped
        if parent is not None and os.getppid() != parent:
            log.warning("the service is gone, exiting")
            stopped = True
            os.kill(child, signal.SIGKILL)
