"""A snapshot of an online learner answers as River does at that moment, and never changes afterwards."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_contracts.signature import Task
from modelyard_flavours import Encoding, predictor_of
from modelyard_trainer.online.learner import learner_of, snapshot_of

CLASSES = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("a", "b", "c"), Task.REGRESSION: ()}
NOTHING = np.empty((0, 0), dtype=object)


def rows_of(task: Task, rows: int, seed: int) -> tuple[Any, Any]:
    """Three columns; the target follows the first two with noise, and turns round after half of the rows."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, 3)) * [1.0, 10.0, 0.1]
    signal = matrix[:, 0] + matrix[:, 1] / 10 + rng.normal(size=rows) * 0.2
    signal[rows // 2 :] *= -1
    if task is Task.REGRESSION:
        return matrix, signal * 50 + 1_000
    return matrix, np.digitize(signal, [0.0] if task is Task.BINARY else [-0.7, 0.7])


def outputs_of_river(learner: Any, matrix: Any, task: Task) -> Any:
    """What River itself answers, shape (rows, outputs)."""
    model, found = learner.river, []
    for row in matrix.tolist():
        answer = model(dict(enumerate(row)))
        found.append([answer.get(n, 0.0) for n in range(len(CLASSES[task]))] if CLASSES[task] else [answer])
    return np.array(found)


@pytest.mark.parametrize("task", list(CLASSES), ids=str)
@pytest.mark.parametrize("kind", ["forest", "linear"])
@settings(max_examples=6, deadline=None)
@given(rows=st.integers(1, 700), seed=st.integers(0, 2**16))
def test_a_snapshot_answers_as_river_does(kind: Any, task: Task, rows: int, seed: int) -> None:
    matrix, targets = rows_of(task, rows, seed)
    encoding = Encoding(numeric=3, classes=CLASSES[task])
    learner = learner_of(kind, task, encoding, seed=seed)
    for row, target in zip(matrix.tolist(), targets.tolist(), strict=True):
        learner.learn(dict(enumerate(row)), target)

    new, _ = rows_of(task, 100, seed + 1)
    answers = predictor_of("online", snapshot_of(learner, encoding, np.zeros(3))).predict(
        new, np.empty((100, 0), dtype=object)
    )

    np.testing.assert_allclose(answers, outputs_of_river(learner, new, task), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["forest", "linear"])
def test_a_snapshot_does_not_change_with_later_rows(kind: Any) -> None:
    matrix, targets = rows_of(Task.BINARY, 600, 1)
    encoding = Encoding(numeric=3, classes=CLASSES[Task.BINARY])
    learner = learner_of(kind, Task.BINARY, encoding)
    for row, target in zip(matrix[:300].tolist(), targets[:300].tolist(), strict=True):
        learner.learn(dict(enumerate(row)), target)
    served = predictor_of("online", snapshot_of(learner, encoding, np.zeros(3)))
    before = served.predict(matrix, np.empty((600, 0), dtype=object))
    for row, target in zip(matrix[300:].tolist(), targets[300:].tolist(), strict=True):
        learner.learn(dict(enumerate(row)), target)

    np.testing.assert_array_equal(before, served.predict(matrix, np.empty((600, 0), dtype=object)))
    later = predictor_of("online", snapshot_of(learner, encoding, np.zeros(3)))
    assert (before != later.predict(matrix, np.empty((600, 0), dtype=object))).any()


@pytest.mark.parametrize("task", list(CLASSES), ids=str)
@pytest.mark.parametrize("kind", ["forest", "linear"])
def test_a_snapshot_before_the_first_row_has_usable_answers(kind: Any, task: Task) -> None:
    encoding = Encoding(numeric=3, classes=CLASSES[task])
    served = predictor_of("online", snapshot_of(learner_of(kind, task, encoding), encoding, np.zeros(3)))
    answers = served.predict(np.zeros((2, 3)), np.empty((2, 0), dtype=object))
    assert np.isfinite(answers).all()
    if CLASSES[task]:
        np.testing.assert_allclose(answers.sum(axis=1), 1.0)
