"""One policy on past rows, in lockstep: the next rows wait while the platform works, as rows in real time would."""

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from aiokafka.partitioner import murmur2

from modelyard import ApiError
from modelyard_cli.backtest.journal import Journal
from modelyard_cli.backtest.log_counts import Log
from modelyard_cli.backtest.policies import UPDATE_EVERY_S
from modelyard_cli.backtest.timing import Known
from modelyard_cli.context import Platform
from modelyard_cli.demo.data import Stream
from modelyard_cli.demo.traffic import Traffic, row_of
from modelyard_cli.stack.layout import StackError
from modelyard_contracts import RolloutState

BLOCK_ROWS: Final = 200
UNIT_ROWS: Final = 50
"""Rows and labels are sent in multiples of this, and the monitor reads them in batches of it: detectors then see the
same batches in every run."""
PARTITIONS: Final = 12
"""Ids that fall into the first of 12 partitions fall into the first of 1, 2, 3, 4 and 6."""
MONITOR: Final = {"MONITOR_BATCH_ROWS": str(UNIT_ROWS), "MONITOR_FLUSH_S": "5"}
"""Settings of the monitor: a batch ends by its rows; by the clock only at the end of a stream."""
QUIET_S: Final = 0.4
"""After the labels of a block are joined: detectors have read them and weights have followed."""
AGAIN_S: Final = 0.25
DAY_S: Final = 86_400.0
STORE_TIMEOUT_S: Final = 120.0
WEIGHTS_TIMEOUT_S: Final = 10.0
"""Longest wait for weights; they stay where they are while the monitor does not answer."""
WORK_TIMEOUT_S: Final = 900.0
"""Longest wait for a run, an evaluation or a start of replicas."""
Tell = Callable[[str], None]
T = TypeVar("T")


class Replay:
    """Reports the time of the data to the services; see modelyard_runtime.policy_time.

    later_s: added to all moments. Each policy of a backtest replays the same rows, and the time that services see must
    never go back: a cool-down that begins at the end of the data would last until the data end again.
    """

    def __init__(self, path: Path, later_s: float = 0.0) -> None:
        self._path, self._later_s = path, later_s
        self._reached_s = -math.inf

    def at(self, data_s: float) -> None:
        """From now on the data are at this moment, in seconds since 1970, or UPDATE_EVERY_S after the last one."""
        self._reached_s = max(data_s + self._later_s, self._reached_s + UPDATE_EVERY_S)
        data_s = self._reached_s
        with self._path.open("a") as file:
            file.write(f"{time.time():.6f} {data_s:.6f}\n")


def data_s(stream: Stream, row: int) -> float:
    """Moment of a row in seconds; without times, rows are one second apart."""
    return float(row if stream.times is None else stream.times[row])


def later_s(stream: Stream, place: int) -> float:
    """Seconds that the time of the data is moved for the policy at a place in the list, from 0: a day between two."""
    return place * (data_s(stream, stream.rows - 1) - data_s(stream, 0) + DAY_S)


class OrderedTraffic(Traffic):
    """Rows whose ids all lie in one partition, so that readers see them in the order of the rows."""

    def id_of(self, row: int) -> str:
        """The first of the row's possible ids that every usual number of partitions places in the same one."""
        ids = (f"{super(OrderedTraffic, self).id_of(row)}-{number}" for number in itertools.count())
        return next(it for it in ids if (murmur2(it.encode()) & 0x7FFFFFFF) % PARTITIONS == 0)


class Lockstep:
    """Sends one stream to one model, block by block."""

    def __init__(
        self, platform: Platform, stream: Stream, first: int, known: Known, journal: Journal, replay: Replay
    ) -> None:
        self._platform, self._stream, self._first = platform, stream, first
        order = np.argsort(known[first:], kind="stable")
        self._by_arrival = [first + int(place) for place in order]
        self._arrivals_in_order = known[first:][order]
        self._labelled = 0
        self._journal, self._replay = journal, replay
        self._traffic = OrderedTraffic(platform.urls["router"], platform.token, stream, f"backtest-{stream.name}")
        self._uncounted: float = 0
        """Votes with a label that no weight will ever count: those before the deployer's first position."""

    def run(self, tell: Tell) -> dict[int, Any]:
        """Send what is left and return the outputs by row; StackError when the platform does not settle."""
        progress = self._journal.progress(self._stream.name, self._first)
        answers = self._traffic.answers
        answers.outputs.update(progress.outputs)
        answers.ids.update({row: self._traffic.id_of(row) for row in progress.outputs})
        self._labelled = self._sent_before(progress.done)
        with contextlib.closing(Log(self._platform, self._stream)) as log:
            if progress.done > self._first:
                self._take_stored(log, progress.done)
            for start in range(progress.done, self._stream.rows, BLOCK_ROWS):
                self._block(log, range(start, min(start + BLOCK_ROWS, self._stream.rows)))
                tell(f"{start - self._first:,} of {self._stream.rows - self._first:,} rows")
        return answers.outputs

    def _take_stored(self, log: Log, done: int) -> None:
        """Rows of the block in which a run was stopped are not asked for again: they have been answered."""
        for prediction_id, output in log.stored(self._traffic.id_of(done)).items():
            row = row_of(f"backtest-{self._stream.name}", prediction_id)
            self._traffic.answers.outputs[row], self._traffic.answers.ids[row] = output, prediction_id

    def _block(self, log: Log, rows: range) -> None:
        """Rows first, then the labels that are due: services see them in the same order in every run."""
        last = rows.stop == self._stream.rows
        self._replay.at(data_s(self._stream, rows[-1]))
        self._await_weights(log)
        missing = [row for row in rows if row not in self._traffic.answers.outputs]
        self._send(missing, [])
        self._settle(log, rows.stop - self._first)
        if due := self._due(rows.start, rows.stop, last=last):
            self._send([], due)
            self._labelled += len(due)
            self._settle(log, rows.stop - self._first)
        self._journal.block(self._stream.name, rows.start, [self._traffic.answers.outputs[row] for row in rows])

    def _send(self, rows: Sequence[int], labelled: Sequence[int]) -> None:
        asyncio.run(self._traffic.block(rows, labelled, concurrent=1))

    def _settle(self, log: Log, answered: int) -> None:
        self._await_stored(log, answered, self._labelled)
        time.sleep(QUIET_S)
        self._await_work()

    def _due(self, start: int, stop: int, *, last: bool) -> list[int]:
        """Rows whose labels are sent after the rows [start, stop), in the order of their arrival.

        Up to UNIT_ROWS - 1 labels wait for the next block, so that the monitor reads whole batches.
        """
        done, end = self._sent_before(start), self._sent_before(stop)
        return self._by_arrival[done:] if last else self._by_arrival[done:end]

    def _sent_before(self, row: int) -> int:
        known = int(np.searchsorted(self._arrivals_in_order, row))
        return known - known % UNIT_ROWS

    def _await_stored(self, log: Log, answered: int, labelled: int) -> None:
        deadline = time.monotonic() + STORE_TIMEOUT_S
        while True:
            found_answered, found_labelled = log.counts()
            if found_answered >= answered and found_labelled >= labelled:
                return
            if time.monotonic() > deadline:
                raise StackError(
                    f"{found_answered} of {answered} answers and {found_labelled} of {labelled} labels were "
                    f"stored within {STORE_TIMEOUT_S:.0f} s; see the monitor's log, then run the same command again"
                )
            time.sleep(0.1)

    def _await_weights(self, log: Log) -> None:
        """Return once the weights have followed all votes with a label, and the router answers by them."""
        deadline = time.monotonic() + WEIGHTS_TIMEOUT_S
        while (uncounted := self._uncounted_votes(log)) > self._uncounted and time.monotonic() < deadline:
            time.sleep(AGAIN_S)
        if math.isfinite(uncounted):
            self._uncounted = uncounted
        while not self._routed() and time.monotonic() < deadline:
            time.sleep(AGAIN_S)

    def _uncounted_votes(self, log: Log) -> float:
        """Votes with a label that the weights have not counted; infinite while the deployer does not answer."""
        votes = log.votes()
        weights = _answer(lambda: self._platform.deployer.votes(self._stream.name)) if votes else None
        return (math.inf if weights is None else votes - weights.labels) if votes else 0

    def _routed(self) -> bool:
        """Whether the router has the newest table of the model's route."""
        name = self._stream.name
        published = _answer(lambda: self._platform.deployer.route(name))
        loaded = _answer(lambda: {one.route: one.sequence for one in self._platform.router.routes()})
        return bool(published and loaded and loaded.get(name, -1) >= published.sequence)

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
        """What the platform is working on for this model, without canaries and open comparisons: these need rows."""
        model = self._stream.name
        try:
            for run in self._platform.trainer.runs(model, limit=3):
                if not run.ended:
                    yield f"training run {run.run_id}"
            for evaluation in self._platform.evaluator.evaluations(model, limit=5):
                if evaluation.verdict is None and not evaluation.open:
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


def _answer(ask: Callable[[], T]) -> T | None:
    """The answer of a service, or None while it does not answer."""
    try:
        return ask()
    except ApiError as error:
        if not error.retryable:
            raise
        return None
