"""Work that outlives the request which started it, such as a registration or a download."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

AT_ONCE: Final = 2
Work = Callable[[threading.Event], Callable[[], None] | None]
log = logging.getLogger(__name__)


@dataclass
class _Job:
    """A job that waits or runs. stop: set to end it early."""

    stop: threading.Event = field(default_factory=threading.Event)
    future: "Future[None] | None" = None


class Jobs:
    """Runs jobs in threads, one per name at a time. At the end, jobs that wait are dropped, and those that run stop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="jobs")
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}

    def start(self, name: str, work: Work) -> bool:
        """Start a job; False if one of this name waits or runs.

        work: takes an event that is set to end it early. It may return a function that writes its result, which runs
        as the name becomes free: a reader of the result can start the job again at once.
        """
        with self._lock:
            if name in self._jobs:
                return False
            job = self._jobs[name] = _Job()
            job.future = self._pool.submit(self._run, name, job, work)
        return True

    def stop(self, name: str) -> None:
        """End a job early: one that waits at once, one that runs when it looks at its event."""
        with self._lock:
            job = self._jobs.get(name)
            if job is None:
                return
            job.stop.set()
            if job.future is not None and job.future.cancel():
                del self._jobs[name]

    def stopping(self, name: str) -> bool:
        """Whether a job that was stopped has not ended yet."""
        with self._lock:
            return name in self._jobs and self._jobs[name].stop.is_set()

    def running(self, name: str) -> bool:
        """Whether a job waits or runs."""
        with self._lock:
            return name in self._jobs

    def close(self) -> None:
        """Drop the jobs that wait. Those that run look at their event, or end with their connections."""
        with self._lock:
            for job in self._jobs.values():
                job.stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, name: str, job: _Job, work: Work) -> None:
        report = None
        try:
            report = work(job.stop)
        except Exception:
            log.exception("the job %s failed", name)
        with self._lock:
            try:
                if report is not None:
                    report()
            except Exception:
                log.exception("the result of the job %s was lost", name)
            finally:
                self._jobs.pop(name, None)
