"""The state of a learner and its cursor, saved together: after a kill it continues as if nothing had happened.

The file holds pickled River objects. It is written and read by the learner's own process in the trainer's data folder,
never sent and never served; what is served is a snapshot of arrays (flavour `online`).
"""

import os
import pickle
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard_contracts.signature import Signature
from modelyard_flavours import Encoding, FittedOnline
from modelyard_trainer.online.labels import Cursor, LabelledRow
from modelyard_trainer.online.learner import FloatArray, Kind, RowLearner, learner_of, snapshot_of

FORMAT: Final = 1
"""Number in the file; a learner of another format starts anew."""
WARM_UP_ROWS: Final = 200
"""First rows, which fix the categories that have a column and the values that stand in for missing ones."""
REFERENCE_ROWS: Final = 1_000
"""Newest rows, which give a snapshot its reference profile and its metrics."""


@dataclass(frozen=True)
class Identity:
    """A learner starts anew when one of these changes."""

    model: str
    kind: Kind
    signature_id: str


@dataclass
class LearnerState:
    """All that a learner's next row depends on."""

    identity: Identity
    signature: Signature
    cursor: Cursor
    learned: int = 0
    left_out: int = 0
    encoding: Encoding | None = None
    """None until the first WARM_UP_ROWS rows have arrived."""
    filler: FloatArray | None = None
    learner: RowLearner | None = None
    waiting: list[LabelledRow] = field(default_factory=list)
    """First rows, not learned yet."""
    next_at: int = 0
    """Rows learned at which the next snapshot is due."""
    skip_until: datetime | None = None
    """Predictions up to this moment were among the rows that it started with."""
    newest: deque[LabelledRow] = field(default_factory=lambda: deque(maxlen=REFERENCE_ROWS))

    def learn(self, row: LabelledRow) -> None:
        """Learn from a row, or wait for the first WARM_UP_ROWS of them."""
        if self.skip_until is not None and row.predicted_at <= self.skip_until:
            return
        self.newest.append(row)
        if self.learner is None:
            self.waiting.append(row)
            if len(self.waiting) >= WARM_UP_ROWS:
                self._begin()
            return
        self._learn([row])

    def _begin(self) -> None:
        numeric, categorical = arrays_of(self.waiting, self.signature)
        self.encoding = Encoding.learn(numeric, categorical, self.signature.classes)
        matrix = self.encoding.matrix(numeric, categorical)
        present = ~np.isnan(matrix)
        sums, counts = np.where(present, matrix, 0.0).sum(axis=0), present.sum(axis=0)
        self.filler = sums / np.maximum(counts, 1)
        self.learner = learner_of(self.identity.kind, self.signature.task, self.encoding)
        waiting, self.waiting = self.waiting, []
        self._learn(waiting)

    def _learn(self, rows: list[LabelledRow]) -> None:
        if self.learner is None or self.encoding is None or self.filler is None:
            raise RuntimeError("the learner has not begun")
        matrix = self.encoding.matrix(*arrays_of(rows, self.signature))
        for values, row in zip(np.where(np.isnan(matrix), self.filler, matrix).tolist(), rows, strict=True):
            self.learner.learn(dict(enumerate(values)), row.target)
            self.learned += 1

    def snapshot(self) -> FittedOnline | None:
        """The present state for serving; None before the first WARM_UP_ROWS rows."""
        if self.learner is None or self.encoding is None or self.filler is None:
            return None
        return snapshot_of(self.learner, self.encoding, self.filler)


def arrays_of(rows: list[LabelledRow] | deque[LabelledRow], signature: Signature) -> tuple[FloatArray, Any]:
    """Features as a predictor takes them: shape (rows, numeric features), (rows, categorical features)."""
    numeric = np.array([row.numbers for row in rows], dtype=np.float64).reshape(len(rows), len(signature.numeric))
    categorical = np.array([row.texts for row in rows], dtype=object).reshape(len(rows), len(signature.categorical))
    return numeric, categorical


def save_state(state: LearnerState, path: Path) -> None:
    """Replace the file in one step: a crash or a full disk leaves the one before."""
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            pickle.dump((FORMAT, state), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def load_state(path: Path, identity: Identity) -> LearnerState | None:
    """The saved state of this learner; None if there is none, it is of another identity, or cannot be read."""
    try:
        with path.open("rb") as file:
            found = pickle.load(file)  # noqa: S301  our own file, see above
    except FileNotFoundError:
        return None
    except Exception:  # damaged, or of another release of River
        return None
    if not (isinstance(found, tuple) and len(found) == 2 and found[0] == FORMAT):
        return None
    state: LearnerState = found[1]
    return state if state.identity == identity else None
