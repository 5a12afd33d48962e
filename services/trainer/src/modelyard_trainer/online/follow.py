"""The learner's process: read labels, learn, publish a snapshot at intervals, save; until it is killed."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from modelyard_contracts.documents import read
from modelyard_contracts.signature import Signature
from modelyard_flavours import Predictor, predictor_of
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.jobs.rundir import RunDir, write_json
from modelyard_trainer.online.export import export
from modelyard_trainer.online.files import OUT, STATE, STATUS
from modelyard_trainer.online.labels import Batch, Labels
from modelyard_trainer.online.state import Identity, LearnerState, load_state, save_state
from modelyard_trainer.online.warm import training_rows
from modelyard_trainer.worker.clickhouse import Query

POLL_S: Final = 1.0
"""Interval between two queries while no label arrives."""
SAVE_SHARE: Final = 0.1
"""Share of the time that saving may take between snapshots."""
FIRST_ROWS: Final = 50
"""Labels after which a learner that began with training rows publishes: the gate needs some to judge it by."""
MAX_MIB: Final = 2_048
"""Resident memory of a learner; it ends above it."""
MIB: Final = 2**20


class Follower:
    """One learner at work in its folder. `step` reads and learns one batch."""

    def __init__(self, run_dir: RunDir, query: Query, clock: Callable[[], float] = time.time) -> None:
        request = run_dir.request
        self._dir, self._clock = run_dir, clock
        signature = read(Signature, request["signature"])
        identity = Identity(request["model"], request["kind"], request["signature_id"])
        self._labels = Labels(query, identity.model, signature, identity.signature_id)
        self._every = int(request["publish_every_rows"])
        self._saved_at, self._save_s = 0.0, 0.0
        self._before: Predictor | None = None
        found = load_state(self._path, identity)
        self.state = found or LearnerState(identity, signature, self._labels.start(int(request["window_rows"])))
        if found is None:
            self._warm_up(request)
        self._before = self._served()

    @property
    def _path(self) -> Path:
        return self._dir.path / STATE

    def _warm_up(self, request: dict[str, Any]) -> None:
        """Learn from the training rows of the version that serves; the first snapshot then needs few labels."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        rows, holds_until = training_rows(self._dir, request, self.state.signature, now)
        for row in rows:
            self.state.learn(row)
        self.state.skip_until = holds_until
        self.state.next_at = self.state.learned + min(FIRST_ROWS, self._every) if rows else self._every

    def step(self) -> int:
        """Learn from the next labels; returns their number."""
        batch = self._labels.after(self.state.cursor)
        self._learn(batch)
        if batch.read and self._clock() - self._saved_at >= self._save_s / SAVE_SHARE:
            self.save()
        self._report(batch)
        return batch.read

    def _learn(self, batch: Batch) -> None:
        for row in batch.rows:
            self.state.learn(row)
        self.state.cursor, self.state.left_out = batch.cursor, self.state.left_out + batch.left_out
        if self.state.learned >= self.state.next_at:
            self._publish()

    def _publish(self) -> None:
        fitted = self.state.snapshot()
        if fitted is None:
            return
        target = self._dir.path / OUT / f"{self.state.learned:012d}"
        export(self.state, fitted, self._before, target, self._dir.request.get("base_version"))
        self.state.next_at = self.state.learned + self._every
        self.save()
        self._before = predictor_of("online", fitted)

    def _served(self) -> Predictor | None:
        fitted = self.state.snapshot()
        return None if fitted is None else predictor_of("online", fitted)

    def save(self) -> None:
        """Save state and cursor together."""
        start = self._clock()
        save_state(self.state, self._path)
        self._saved_at = self._clock()
        self._save_s = self._saved_at - start

    def _report(self, batch: Batch) -> None:
        memory_mib = psutil.Process().memory_info().rss / MIB
        status: dict[str, Any] = {
            "at": round(self._clock(), 2),
            "learned": self.state.learned,
            "left_out": self.state.left_out,
            "lag_s": max(0.0, round(self._clock() - batch.newest.timestamp(), 3)) if batch.newest else 0.0,
            "memory_mib": round(memory_mib, 1),
        }
        write_json(self._dir.path / STATUS, status)
        if memory_mib > MAX_MIB:
            raise BadRequest(f"the learner takes {memory_mib:.0f} MiB; the limit is {MAX_MIB} MiB")


def follow(run_dir: RunDir, query: Query, pause: Callable[[float], None] = time.sleep) -> None:
    """Learn until the process is killed."""
    follower = Follower(run_dir, query)
    while True:
        if not follower.step():
            pause(POLL_S)
