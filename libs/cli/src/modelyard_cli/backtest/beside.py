"""What a team would have without the platform, computed beside it on the same rows."""

import multiprocessing
import os
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Final, Self

from modelyard_cli.backtest.baselines import evenly, online, scheduled
from modelyard_cli.backtest.learners import Outputs, Rows
from modelyard_cli.backtest.timing import Known
from modelyard_cli.demo.data import Stream
from modelyard_cli.stack.layout import StackError

LOWEST_PRIORITY: Final = 19
SEED: Final = 1


class Beside:
    """Starts with the stream, in a process of the lowest priority: the online forest takes half a minute of a core."""

    def __init__(self, stream: Stream, first: int, known: Known) -> None:
        self._rows, self._known = Rows(stream, first), known
        context = multiprocessing.get_context("spawn")
        self._answer, question = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(self._rows, known, question), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()

    def scheduled(self, frozen: Outputs, trainings: int, window_rows: int) -> Outputs:
        """One output per row after the first ones: blind retraining, spread evenly."""
        at = evenly(self._rows.first, self._rows.stream.rows, trainings)
        return scheduled(self._rows, frozen, at, known=self._known, window_rows=window_rows)

    def online(self) -> Outputs:
        """One output per row of the online forest; waits for it. StackError when its process died."""
        try:
            found: Outputs = self._answer.recv()
            return found
        except EOFError as error:
            raise StackError(f"the process of the baselines ended with {self._process.exitcode}") from error


def _work(rows: Rows, known: Known, answer: Connection) -> None:
    os.nice(LOWEST_PRIORITY)
    answer.send(online(rows, known=known, seed=SEED))
