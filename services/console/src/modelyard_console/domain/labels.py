"""The form that sends the true outcome of a prediction."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from modelyard_contracts.manifest import ModelManifest
from modelyard_contracts.signature import Task

SOURCE = "console"
"""Source of labels that people send here."""


class NoNumber(ValueError):
    """A true value that is not a finite number."""


def number_of(text: str) -> float:
    """A true value; NoNumber otherwise."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise NoNumber("True value: give a number such as 12.5")
    return value


@dataclass(frozen=True)
class Labelling:
    """What can be sent for a prediction: one of `classes`, or a number without any."""

    prediction_id: str
    model: str
    classes: tuple[str, ...] = ()


def labelling(
    prediction_id: str,
    model: str,
    manifest: ModelManifest | None,
    scores: Iterable[str] = (),
    value: float | None = None,
) -> Labelling | None:
    """The form by the signature of the version; by the answer if that is not known. None for answers without labels.

    scores: classes with a score in the answer. value: the number that a regression answered.
    """
    if manifest is not None:
        output = manifest.signature.output
        classes, number = output.classes, output.task is Task.REGRESSION
    else:
        classes, number = tuple(scores), value is not None
    return Labelling(prediction_id, model, tuple(classes)) if classes or number else None
