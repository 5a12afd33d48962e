"""What a team would have without the platform, computed beside the demo on the same rows."""

import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Final, Self

from modelyard_cli.backtest.baselines import evenly, online, scheduled
from modelyard_cli.backtest.learners import Outputs, Rows
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.first import RETRAIN
from modelyard_cli.demo.traffic import LABEL_DELAY_ROWS
from modelyard_cli.stack.layout import StackError

LOWEST_PRIORITY: Final = 19


class Beside:
    """Starts with the stream, in a process of the lowest priority: the online forest takes half a minute of a core."""

    def __init__(self, stream: Stream, first: int) -> None:
        self._rows = Rows(stream, first)
        context = multiprocessing.get_context("spawn")
        self._answer, question = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(self._rows, question), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()

    def outputs(self, frozen: Outputs, trainings: int) -> Mapping[str, Outputs]:
        """One output per row after the first tenth: blind retraining as often as the platform trained, and the forest.

        Waits for the forest; StackError when its process died.
        """
        rows = self._rows
        at = evenly(rows.first, rows.stream.rows, trainings)
        retrained = scheduled(rows, frozen, at, delay_rows=LABEL_DELAY_ROWS, window_rows=RETRAIN.window_rows)
        try:
            return {"scheduled": retrained, "online": self._answer.recv()}
        except EOFError as error:
            raise StackError(f"the process of the baselines ended with {self._process.exitcode}") from error


def _work(rows: Rows, answer: Connection) -> None:
    os.nice(LOWEST_PRIORITY)
    answer.send(online(rows, delay_rows=LABEL_DELAY_ROWS, seed=1))
