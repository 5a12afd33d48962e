"""What a team would get without the platform: nothing learns from a label before it is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from modelyard_cli.backtest.baselines import evenly, online, oracle, scheduled
from modelyard_cli.backtest.learners import Outputs, Rows, fit
from modelyard_cli.backtest.timing import after_rows
from modelyard_cli.demo.data import Stream

ROWS, FIRST, DELAY = 800, 200, 40


def stream(task: str, *, change_at: int | None = None) -> Stream:
    """Two numbers with gaps and a category; from `change_at` on the opposite is true."""
    random = np.random.default_rng(7)
    numbers = random.normal(size=(ROWS, 2))
    signal = numbers[:, 0] + 0.3 * random.normal(size=ROWS)
    if change_at is not None:
        signal[change_at:] *= -1
    numbers[::50, 1] = np.nan
    names = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": ()}[task]
    places = np.digitize(signal, np.linspace(-0.5, 0.5, len(names) - 1)) if names else None
    labels = signal.astype(object) if places is None else np.array(names, dtype=object)[places]
    words = np.where(random.random((ROWS, 1)) < 0.5, "x", "y").astype(object)
    return Stream("s", "target", ("one", "two"), ("word",), numbers, words, labels, names)


def first_version(rows: Rows) -> Outputs:
    predict = fit(rows, np.arange(rows.first), seed=0)
    assert predict is not None
    return predict(rows.first, rows.stream.rows)


def by_schedule(rows: Rows) -> Outputs:
    return scheduled(
        rows,
        first_version(rows),
        evenly(rows.first, rows.stream.rows, 4),
        known=after_rows(ROWS, FIRST, DELAY),
        window_rows=250,
    )


def by_forest(rows: Rows) -> Outputs:
    return online(rows, known=after_rows(ROWS, FIRST, DELAY), seed=3)


def loss(rows: Rows, found: Outputs, start: int = FIRST) -> float:
    true = rows.stream.labels[start:]
    found = found[start - FIRST :]
    return float(np.mean(found != true)) if rows.stream.classes else float(np.mean(np.abs(found - true)))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("baseline", [by_schedule, by_forest])
def test_labels_that_are_not_known_yet_change_nothing(task: str, baseline: Callable[[Rows], Outputs]) -> None:
    given, changed_at = stream(task), 500
    labels = given.labels.copy()
    labels[changed_at:] = labels[changed_at:][::-1]
    one, other = baseline(Rows(given, FIRST)), baseline(Rows(replace(given, labels=labels), FIRST))
    before = changed_at + DELAY - FIRST
    assert list(one[:before]) == list(other[:before])
    assert list(one[before:]) != list(other[before:]), "later labels are learned from"


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_after_a_change_a_version_that_is_trained_again_is_better_than_a_frozen_one(task: str) -> None:
    rows = Rows(stream(task, change_at=350), FIRST)
    late = ROWS - 200
    assert loss(rows, by_schedule(rows), late) < 0.7 * loss(rows, first_version(rows), late)


def test_the_online_learner_follows_a_change() -> None:
    rows = Rows(stream("binary", change_at=350), FIRST)
    late = ROWS - 200
    assert loss(rows, by_forest(rows), late) < 0.7 * loss(rows, first_version(rows), late)


def test_outputs_are_those_that_callers_get() -> None:
    assert set(by_forest(Rows(stream("multiclass"), FIRST))) <= {"a", "b", "c"}
    assert all(isinstance(value, float) for value in by_forest(Rows(stream("regression"), FIRST)))


def test_the_same_seed_gives_the_same_outputs() -> None:
    rows = Rows(stream("binary"), FIRST)
    assert list(by_forest(rows)) == list(by_forest(rows))
    assert list(by_schedule(rows)) == list(by_schedule(rows))


def test_a_training_set_of_one_class_changes_nothing() -> None:
    given = stream("binary")
    labels = given.labels.copy()
    labels[FIRST:] = "no"
    rows = Rows(replace(given, labels=labels), FIRST)
    frozen = first_version(rows)
    found = scheduled(rows, frozen, [600], known=after_rows(ROWS, FIRST, DELAY), window_rows=250)
    assert list(found) == list(frozen)


def test_trainings_are_spread_evenly() -> None:
    assert evenly(100, 500, 3) == [200, 300, 400]
    assert evenly(100, 500, 0) == []


@pytest.mark.parametrize(("lower", "expected"), [(False, [0.9, 0.8]), (True, [0.1, 0.2])])
def test_the_oracle_takes_the_best_version_of_each_part_that_exists(lower: bool, expected: list[float]) -> None:
    scores = np.array([[0.9] * 500 + [0.2] * 500, [0.1] * 500 + [0.8] * 500, [1.0 - 2.0 * lower] * 1_000])
    found = oracle(scores, since=[0, 0, 999], lower_is_better=lower)
    assert [float(part.mean()) for part in np.split(found, 2)] == pytest.approx(expected)
