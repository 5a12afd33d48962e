"""Work that outlives the request which started it, such as a registration."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

AT_ONCE: Final = 2
log = logging.getLogger(__name__)


class Jobs:
    """Runs jobs in threads, one per name at a time. Jobs that wait are dropped at the end."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="jobs")
        self._lock = threading.Lock()
        self._names: set[str] = set()

    def start(self, name: str, work: Callable[[], Callable[[], None] | None]) -> bool:
        """Start a job; False if one of this name waits or runs.

        work: may return what writes its result, which is called as the name becomes free: who reads that the job has
        ended may start it again at once.
        """
        with self._lock:
            if name in self._names:
                return False
            self._names.add(name)
        self._pool.submit(self._run, name, work)
        return True

    def running(self, name: str) -> bool:
        """Whether a job waits or runs."""
        with self._lock:
            return name in self._names

    def close(self) -> None:
        """Drop the jobs that wait; those that run end when their connections are closed."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, name: str, work: Callable[[], Callable[[], None] | None]) -> None:
        report = None
        try:
            report = work()
        except Exception:
            log.exception("the job %s failed", name)
        with self._lock:
            try:
                if report is not None:
                    report()
            except Exception:
                log.exception("the result of the job %s was lost", name)
            finally:
                self._names.discard(name)
