"""What a team would get without the platform, on the same rows with the same delay of the labels.

Each function returns one output per row from `rows.first` on: a class, or a value of a regression. A row is answered
before its label is known; the label of row i is known once row known[i] is answered (`timing.Known`).
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_cli.backtest.learners import Outputs, Rows, fit
from modelyard_cli.backtest.timing import Known

ORACLE_ROWS: Final = 500
"""The oracle chooses once per this many rows."""
TREES: Final = 10
Tell = Callable[[int], None]
"""Called with the number of rows done."""


def evenly(first: int, rows: int, trainings: int) -> list[int]:
    """Rows at which `trainings` retrainings are spread evenly over [first, rows)."""
    return [first + (rows - first) * number // (trainings + 1) for number in range(1, trainings + 1)]


def scheduled(
    rows: Rows, frozen: Outputs, at: Sequence[int], *, known: Known, window_rows: int, seed: int = 0
) -> Outputs:
    """Retrain at fixed rows on the newest labelled `window_rows`, and always take the new version.

    frozen: outputs of the first version, which answers until the first retraining. at: rows, increasing.
    """
    found = frozen.copy()
    for row in at:
        predict = fit(rows, np.flatnonzero(known < row)[-window_rows:], seed)
        if predict is not None:
            found[row - rows.first :] = predict(row, rows.stream.rows)
    return found


def online(rows: Rows, *, known: Known, seed: int = 0, tell: Tell = lambda _: None) -> Outputs:
    """River's adaptive random forest (Gomes et al. 2017), which learns from each label as it arrives."""
    from river.forest import ARFClassifier, ARFRegressor

    kind = ARFClassifier if rows.stream.classes else ARFRegressor
    forest = kind(n_models=TREES, seed=seed)
    table: list[dict[Any, Any]] = [dict(enumerate(row)) for row in rows.matrix.tolist()]
    targets = rows.targets.tolist()
    fallback = _usual(rows)
    for row in range(rows.first):
        forest.learn_one(table[row], targets[row])
    due = deque(rows.first + np.argsort(known[rows.first :], kind="stable"))
    found: list[Any] = []
    for row in range(rows.first, rows.stream.rows):
        answer = forest.predict_one(table[row])
        found.append(fallback if answer is None else answer)
        while due and known[due[0]] <= row:
            place = due.popleft()
            forest.learn_one(table[place], targets[place])
        if len(found) % ORACLE_ROWS == 0:
            tell(len(found))
    return rows.outputs(np.array(found))


def _usual(rows: Rows) -> Any:
    """The most frequent class, or the median, of the first rows."""
    known = rows.targets[: rows.first]
    return int(np.bincount(known).argmax()) if rows.stream.classes else float(np.median(known))


def oracle(scores: NDArray[np.float64], since: Sequence[int], *, lower_is_better: bool = False) -> NDArray[np.float64]:
    """Score per row of the version that is best, in hindsight, over each ORACLE_ROWS rows: a bound, not a policy.

    scores: shape (versions, rows). since: per version the first row that it could have answered.
    """
    sign = -1.0 if lower_is_better else 1.0
    found = np.empty(scores.shape[1])
    for start in range(0, scores.shape[1], ORACLE_ROWS):
        part = scores[:, start : start + ORACLE_ROWS]
        known = [place for place, row in enumerate(since) if row <= start] or [0]
        found[start : start + ORACLE_ROWS] = part[max(known, key=lambda place: sign * float(part[place].mean()))]
    return found
