"""Scores as the answers that an example records, and the comparison of both."""

from collections.abc import Sequence

import numpy as np

from modelyard_contracts.example import Example, ExampleAnswer
from modelyard_contracts.signature import Signature, Task
from modelyard_serving.lanes import Floats


def answers_of(signature: Signature, scores: Floats) -> tuple[ExampleAnswer, ...]:
    """One answer per row. scores: shape (rows, signature.width), finite."""
    if signature.task is Task.REGRESSION:
        return tuple(ExampleAnswer(value=float(value)) for value in scores[:, 0])
    if signature.task is Task.EMBEDDING:
        return tuple(ExampleAnswer(scores=tuple(row.tolist())) for row in scores)
    best = scores.argmax(axis=1)
    return tuple(
        ExampleAnswer(label=signature.classes[place], scores=tuple(row.tolist()))
        for place, row in zip(best, scores, strict=True)
    )


def unusable(scores: Floats, rows: int, width: int) -> str:
    """Why scores cannot be served; empty if they can."""
    if scores.shape != (rows, width):
        return f"the answers have the shape {scores.shape}; {rows} rows need ({rows}, {width})"
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores).all(axis=1))[0])
        return f"row {row}: the answer {scores[row].tolist()} is not a finite number"
    return ""


def first_difference(example: Example, answers: Sequence[ExampleAnswer]) -> str:
    """The first row whose answer differs from the recorded one; empty without a difference."""
    if len(example.answers) != len(answers):
        return f"{len(example.answers)} answers are recorded for {len(answers)} rows"
    for row, (recorded, given) in enumerate(zip(example.answers, answers, strict=True)):
        if difference := _difference(recorded, given, example.tolerance):
            return f"row {row}: {difference}"
    return ""


def _difference(recorded: ExampleAnswer, given: ExampleAnswer, tolerance: float) -> str:
    if recorded.label is not None and recorded.label != given.label:
        return f"the class is {given.label!r}, recorded is {recorded.label!r}"
    if recorded.value is not None and not _close(recorded.value, given.value, tolerance):
        return f"the value is {given.value}, recorded is {recorded.value}"
    if recorded.scores and len(recorded.scores) != len(given.scores):
        return f"there are {len(given.scores)} scores, recorded are {len(recorded.scores)}"
    for place, (before, now) in enumerate(zip(recorded.scores, given.scores, strict=False)):
        if not _close(before, now, tolerance):
            return f"the score {place} is {now:.6g}, recorded is {before:.6g}"
    return ""


def _close(recorded: float, given: float | None, tolerance: float) -> bool:
    return given is not None and abs(given - recorded) <= tolerance * max(1.0, abs(recorded))
