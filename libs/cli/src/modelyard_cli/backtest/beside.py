"""What a team would have without the platform, computed beside it on the same rows."""

import multiprocessing
import os
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Final, Self

from modelyard_cli.backtest.baselines import evenly, online, scheduled
from modelyard_cli.backtest.learners import Outputs, Rows
from modelyard_cli.demo.data import Stream
from modelyard_cli.stack.layout import StackError

LOWEST_PRIORITY: Final = 19
SEED: Final = 1


class Beside:
    """Starts with the stream, in a process of the lowest priority: the online forest takes half a minute of a core."""

    def __init__(self, stream: Stream, first: int, delay_rows: int) -> None:
        self._rows, self._delay_rows = Rows(stream, first), delay_rows
        context = multiprocessing.get_context("spawn")
        self._answer, question = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(self._rows, delay_rows, question), daemon=True)

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
        return scheduled(self._rows, frozen, at, delay_rows=self._delay_rows, window_rows=window_rows)

    def online(self) -> Outputs:
        """One output per row of the online forest; waits for it. StackError when its process died."""
        try:
            found: Outputs = self._answer.recv()
            return found
        except EOFError as error:
            raise StackError(f"the process of the baselines ended with {self._process.exitcode}") from error


def _work(rows: Rows, delay_rows: int, answer: Connection) -> None:
    os.nice(LOWEST_PRIORITY)
    answer.send(online(rows, delay_rows=delay_rows, seed=SEED))
