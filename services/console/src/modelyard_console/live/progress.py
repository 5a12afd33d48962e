"""Progress of a job for its page, and its early end. The job calls it from its own thread."""

import threading
import time
from abc import ABC, abstractmethod
from typing import Final

REPORTED_S: Final = 0.5
"""Least time between two reports of progress."""
REPEATED_S: Final = 2.0
"""Time between two reports while nothing arrives."""


class Ended(Exception):
    """The job ends before it is complete; the text is the reason."""


class Progress(ABC):
    """Writes the progress of a job at intervals, and raises Ended once it was stopped or took too long.

    stop: set to end the job early.
    """

    def __init__(self, stop: threading.Event, timeout_s: float) -> None:
        self._stop, self._timeout_s = stop, timeout_s
        self._ends_at, self._last, self.text = time.monotonic() + timeout_s, 0.0, ""

    @abstractmethod
    def keep(self) -> None:
        """Store the progress, with `text`, and announce it to open pages."""

    def report(self, text: str) -> None:
        """Note what the job does; called for every piece that arrives."""
        self.check()
        self.text = f"{text}."
        if time.monotonic() - self._last >= REPORTED_S:
            self.write()

    def pause(self, seconds: float) -> None:
        """Wait between two attempts. Pages that were opened in between learn why."""
        until = time.monotonic() + seconds
        while True:
            self.write()
            self.check()
            left = until - time.monotonic()
            if left <= 0:
                return
            self._stop.wait(min(left, REPEATED_S))

    def write(self) -> None:
        """Store the progress now."""
        self._last = time.monotonic()
        self.keep()

    def check(self) -> None:
        """Raise Ended if the job must end."""
        if self._stop.is_set():
            raise Ended("It was stopped.")
        if time.monotonic() > self._ends_at:
            raise Ended(f"It took more than {self._timeout_s / 3600:g} hours.")
