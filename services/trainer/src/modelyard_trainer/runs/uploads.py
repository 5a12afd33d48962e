"""Uploads of finished runs, each in a thread of its own: a large one delays no other run."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Final
from uuid import UUID

from modelyard_trainer.domain.jobs import Output
from modelyard_trainer.domain.run import Run

NAME: Final = "upload"


class Uploads:
    """publish: blocks until a version is registered; a repeat for the same run returns the same version.

    The threads end with the process: an upload that was cut off begins again, and sends only what is missing.
    """

    def __init__(self, publish: Callable[[Run, Output], int]) -> None:
        self._publish = publish
        self._begun: dict[UUID, Future[int]] = {}

    def version(self, run: Run, output: Callable[[], Output]) -> int | None:
        """The version of a run, or None while its files are sent. Raises the error of an attempt that failed."""
        begun = self._begun.get(run.id)
        if begun is None:
            self._begin(run, output())
            return None
        if not begun.done():
            return None
        return self._begun.pop(run.id).result()

    def _begin(self, run: Run, output: Output) -> None:
        future: Future[int] = Future()
        self._begun[run.id] = future

        def send() -> None:
            try:
                future.set_result(self._publish(run, output))
            except BaseException as error:
                future.set_exception(error)

        Thread(target=send, name=f"{NAME}-{run.id}", daemon=True).start()
