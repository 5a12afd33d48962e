"""What training windows are worth on Elec2: a vote of versions that are retrained every n rows, labels 240 rows late.

Usage: python services/trainer/benchmarks/windows.py CACHE_FOLDER [EVERY_ROWS] [WINDOW ...]
such as: python services/trainer/benchmarks/windows.py /tmp/elec2 2500 recent recent,all
Elec2 is downloaded into the folder, once. The recipe's own code selects estimators and windows; no Ray is needed.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.demo.data import load
from modelyard_contracts.policies import RetrainPolicy
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_flavours import predictor_of
from modelyard_trainer.domain.recipes import TabularParameters
from modelyard_trainer.domain.split import split_rows
from modelyard_trainer.domain.windows import windows_of
from modelyard_trainer.recipes.candidates import Trials
from modelyard_trainer.recipes.estimators import fit_tabular
from modelyard_trainer.worker.work import Rows, Work

DELAY_ROWS: Final = 240
LATE_ROWS: Final = 200
"""Rows from the start of a training to the first answer of its version."""
MEMBERS: Final = 5
LEARNING_RATE: Final = 0.15
SHARE: Final = 0.001
ENTRY_NATS: Final = 1.0
PHASES: Final = 3
POLICY: Final = RetrainPolicy()
PARAMETERS: Final = TabularParameters(metric="accuracy")
Scores = NDArray[np.float64]


class Direct:
    """Calls functions one after the other in this process."""

    def each(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        return (function(*call) for call in calls)


def elec2(cache: Path) -> tuple[Rows, Signature]:
    """The rows in the order of time."""
    stream = load(None, cache)
    targets = np.array([stream.classes.index(label) for label in stream.labels], dtype=np.int64)
    times = np.arange(stream.rows).astype("datetime64[us]")
    columns = tuple(Column(name=name) for name in stream.numeric)
    signature = Signature(columns=columns, output=Output(task=Task.BINARY, classes=stream.classes))
    return Rows(stream.numbers, np.empty((stream.rows, 0), dtype=object), targets, times), signature


def version(rows: Rows, signature: Signature, known: int, names: Sequence[Any]) -> tuple[str, Scores]:
    """Train on the rows before `known`; the chosen candidate, and its scores of the second class for all rows."""
    part = rows.part(max(0, known - POLICY.history_rows), known)
    older = max(0, len(part) - POLICY.window_rows)
    split = split_rows(len(part) - older, POLICY.holdout_rows).after(older)
    windows = windows_of(names, split, POLICY.half_life_rows, None)
    work = Work(part, split, signature, PARAMETERS, Path(), 1, lambda *_: None, given_windows=windows)
    used = part.part(0, split.used)
    best = Trials(work, fit_tabular, Direct(), used, used).select(split.folds).best
    fitted = fit_tabular(best.name, PARAMETERS, part.within(best.window or windows.usual, len(part)), signature)
    scores: Scores = predictor_of(fitted.flavour, fitted.model).predict(rows.numeric, rows.categorical)[:, 1]
    return best.label, scores


class Vote:
    """Fixed share over the newest versions and the first one (decision 0063)."""

    def __init__(self, first: Scores) -> None:
        self.scores, self.weights, self.since = [first], np.zeros(1), [0]

    def join(self, scores: Scores, row: int) -> None:
        """Add a member; the one of least weight leaves if there are too many, but not the first or the newest."""
        self.scores.append(scores)
        self.weights = np.append(self.weights, self.weights.max() - ENTRY_NATS)
        self.since.append(row)
        if len(self.scores) > MEMBERS:
            place = 1 + int(np.argmin(self.weights[1:-1]))
            self.weights = np.delete(self.weights, place)
            del self.scores[place], self.since[place]

    def answer(self, row: int) -> bool:
        shares = np.exp(self.weights - self.weights.max())
        return bool(shares @ np.array([scores[row] for scores in self.scores]) > 0.5 * shares.sum())

    def learn(self, row: int, label: int) -> None:
        wrong = [
            (scores[row] > 0.5) != label and row >= since for scores, since in zip(self.scores, self.since, strict=True)
        ]
        shares = np.exp(self.weights - self.weights.max() - LEARNING_RATE * np.array(wrong, dtype=np.float64))
        self.weights = np.log((1 - SHARE) * shares / shares.sum() + SHARE / len(shares))


def accuracy(rows: Rows, signature: Signature, names: Sequence[Any], every: int, phase: int) -> tuple[float, list[str]]:
    """Share of right answers after the first tenth, and the candidates that were chosen."""
    start, labels = len(rows) // 10, rows.targets
    vote, chosen, right = Vote(version(rows, signature, start, ("recent",))[1]), list[str](), 0
    ready: list[tuple[int, Scores]] = []
    for row in range(start, len(rows)):
        if ready and ready[0][0] <= row:
            vote.join(ready.pop(0)[1], row)
        if row - DELAY_ROWS >= start:
            vote.learn(row - DELAY_ROWS, int(labels[row - DELAY_ROWS]))
        if row > start and (row - start + phase) % every == 0:
            label, scores = version(rows, signature, row - DELAY_ROWS, names)
            chosen.append(label)
            ready.append((row + LATE_ROWS, scores))
        right += vote.answer(row) == labels[row]
    return right / (len(rows) - start), chosen


def main(cache: str, every_rows: str = "2500", *windows: str) -> None:
    rows, signature = elec2(Path(cache))
    every = int(every_rows)
    for names in windows or ("recent", "age_weighted", "all", "recent,age_weighted", "recent,age_weighted,all"):
        runs = [accuracy(rows, signature, names.split(","), every, phase * every // PHASES) for phase in range(PHASES)]
        chosen = Counter(label for _, labels in runs for label in labels)
        figures = ", ".join(f"{figure:.4f}" for figure, _ in runs)
        print(f"{names}: {np.mean([figure for figure, _ in runs]):.4f} ({figures}) {dict(chosen.most_common(5))}")


if __name__ == "__main__":
    main(*sys.argv[1:])
