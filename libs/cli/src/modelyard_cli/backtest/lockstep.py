"""One policy on past rows, in lockstep: the next rows wait while the platform works, as rows in real time would."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from modelyard import ApiError
from modelyard_cli.backtest.journal import Journal
from modelyard_cli.context import Platform
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.traffic import Traffic
from modelyard_cli.stack.layout import StackError
from modelyard_contracts import RolloutState

BLOCK_ROWS: Final = 200
BLOCK_S: Final = 2.0
"""A block takes at least this long, so that durations of policies have a pace: see Policies.at_pace."""
QUIET_S: Final = 0.4
"""After the labels of a block are joined: detectors have read them and weights have followed."""
AGAIN_S: Final = 0.25
STORE_TIMEOUT_S: Final = 120.0
WORK_TIMEOUT_S: Final = 900.0
"""Longest wait for a run, an evaluation or a start of replicas."""
COUNTS_SQL: Final = """
SELECT (SELECT uniqExact(prediction_id) FROM predictions WHERE model = {model:String} AND status = 'ok') AS answered,
    (SELECT uniqExact(prediction_id) FROM v_matched WHERE model = {model:String}) AS labelled"""

Tell = Callable[[str], None]


class Lockstep:
    """Sends one stream to one model, block by block."""

    def __init__(self, platform: Platform, stream: Stream, first: int, delay_rows: int, journal: Journal) -> None:
        self._platform, self._stream, self._first, self._delay_rows = platform, stream, first, delay_rows
        self._journal = journal
        self._traffic = Traffic(platform.urls["router"], platform.token, stream, f"backtest-{stream.name}")

    def run(self, tell: Tell) -> dict[int, Any]:
        """Send what is left and return the outputs by row; StackError when the platform does not settle."""
        progress = self._journal.progress(self._stream.name, self._first)
        answers = self._traffic.answers
        answers.outputs.update(progress.outputs)
        answers.ids.update({row: self._traffic.id_of(row) for row in progress.outputs})
        with contextlib.closing(self._platform.clickhouse()) as clickhouse:
            for start in range(progress.done, self._stream.rows, BLOCK_ROWS):
                self._block(clickhouse, range(start, min(start + BLOCK_ROWS, self._stream.rows)))
                tell(f"{start - self._first:,} of {self._stream.rows - self._first:,} rows")
        return answers.outputs

    def _block(self, clickhouse: Any, rows: range) -> None:
        began = time.monotonic()
        last = rows.stop == self._stream.rows
        until = rows.stop if last else rows.stop - self._delay_rows
        labelled = range(max(self._first, rows.start - self._delay_rows), max(self._first, until))
        asyncio.run(self._traffic.block(rows, labelled))
        self._await_stored(clickhouse, rows.stop - self._first, max(until - self._first, 0))
        time.sleep(QUIET_S)
        self._await_work()
        time.sleep(max(0.0, BLOCK_S - (time.monotonic() - began)))
        self._journal.block(self._stream.name, rows.start, [self._traffic.answers.outputs[row] for row in rows])

    def _await_stored(self, clickhouse: Any, answered: int, labelled: int) -> None:
        deadline = time.monotonic() + STORE_TIMEOUT_S
        while True:
            [found] = clickhouse.query(COUNTS_SQL, parameters={"model": self._stream.name}).named_results()
            if found["answered"] >= answered and found["labelled"] >= labelled:
                return
            if time.monotonic() > deadline:
                raise StackError(
                    f"{found['answered']} of {answered} answers and {found['labelled']} of {labelled} labels were "
                    f"stored within {STORE_TIMEOUT_S:.0f} s; see the monitor's log, then run the same command again"
                )
            time.sleep(0.1)

    def _await_work(self) -> None:
        """Return once nothing has been open for two looks in a row."""
        deadline, idle = time.monotonic() + WORK_TIMEOUT_S, 0
        while idle < 2:
            open_ = next(self._open(), None)
            idle = 0 if open_ else idle + 1
            if open_ and time.monotonic() > deadline:
                raise StackError(f"{open_} has not ended within {WORK_TIMEOUT_S:.0f} s; see the log of that service")
            if idle < 2:
                time.sleep(AGAIN_S)

    def _open(self) -> Iterator[str]:
        """What the platform is working on for this model. A canary is none of it: it needs rows to go on."""
        model = self._stream.name
        try:
            for run in self._platform.trainer.runs(model, limit=3):
                if not run.ended:
                    yield f"training run {run.run_id}"
            for evaluation in self._platform.evaluator.evaluations(model, limit=5):
                if evaluation.verdict is None:
                    yield f"evaluation {evaluation.evaluation_id}"
            rollouts = self._platform.deployer.rollouts(model, limit=10)
            canary = any(one.state in (RolloutState.SHIFTING, RolloutState.HOLDING) for one in rollouts)
            for rollout in rollouts:
                waits = rollout.state is RolloutState.PENDING and canary
                if rollout.state in (RolloutState.PENDING, RolloutState.PREPARING) and not waits:
                    yield f"rollout {rollout.rollout_id}"
        except ApiError as error:
            if not error.retryable:
                raise
            yield f"a service that does not answer ({error})"
