"""Outputs of a library as scores in the order of the signature's classes, or as values."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_contracts.signature import Signature
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.predictor import FloatArray
from modelyard_flavours.scores import to_scores

PROBABILITIES, LOGITS, LABELS = "probabilities", "logits", "labels"
SCORES: Final = (PROBABILITIES, LOGITS, LABELS)
"""What an output holds: probabilities per class (or of the last of two), log-odds, or labels."""
SUM_TOLERANCE: Final = 0.01


class Outputs:
    """Turns what a model returns into what a predictor returns. scores: one of SCORES; ignored for a regression."""

    def __init__(self, signature: Signature, scores: str = PROBABILITIES) -> None:
        self.classes = signature.classes
        self._classifies = signature.task.classifies
        self._scores = scores
        self._known = {name: place for place, name in enumerate(signature.classes)}

    def of(self, raw: Any) -> FloatArray:
        """raw: shape (rows,), (rows, 1) or (rows, classes). ValueError if it does not fit the classes."""
        if self._classifies and self._scores == LABELS:
            return self.one_hot(np.asarray(raw).reshape(-1).tolist())
        array = np.asarray(raw, dtype=np.float64)
        array = array.reshape(-1, 1) if array.ndim < 2 else array.reshape(len(array), -1)
        if not self._classifies:
            return _values(array)
        return self._checked(to_scores(array) if self._scores == LOGITS else _both(array))

    def empty(self) -> FloatArray:
        """The answer to no rows."""
        return np.zeros((0, len(self.classes) or 1))

    def one_hot(self, labels: Iterable[Any]) -> FloatArray:
        """1 for the class, 0 for the others. labels: names of classes, or their places."""
        places = [self.place_of(label) for label in labels]
        return np.eye(len(self.classes))[places]

    def place_of(self, label: Any) -> int:
        """Place of a class in the scores; ValueError names an unknown label."""
        name = _name(label)
        if name in self._known:
            return self._known[name]
        value = label.item() if isinstance(label, np.generic) else label
        place = int(value) if isinstance(value, int | float) and float(value).is_integer() else -1
        if 0 <= place < len(self.classes):
            return place
        raise ValueError(f"the label {label!r} is not a class; the classes are {', '.join(self.classes[:10])}")

    def of_mappings(self, rows: Sequence[dict[Any, float]]) -> FloatArray:
        """Scores from one mapping of label to probability per row."""
        scores = np.zeros((len(rows), len(self.classes)))
        for place, row in enumerate(rows):
            for label, score in row.items():
                scores[place, self.place_of(label)] = score
        return scores

    def _checked(self, scores: FloatArray) -> FloatArray:
        if scores.shape[1] != len(self.classes):
            raise ValueError(f"the model has {scores.shape[1]} scores, the signature {len(self.classes)} classes")
        sums = scores.sum(axis=1)
        if (np.abs(sums - 1) > SUM_TOLERANCE).any():
            raise ValueError(
                f"the scores of a row add up to {sums[np.argmax(np.abs(sums - 1))]:.4g}, not to 1; "
                f"set the option scores={LOGITS} if they are log-odds"
            )
        return scores


def class_order(labels: Sequence[Any], signature: Signature, file: str) -> NDArray[np.intp] | None:
    """Places of the model's columns in the order of the signature's classes; None if the orders are equal.

    labels: the model's own, by name, or the numbers 0, 1, ... for the classes in the signature's order. Inadmissible if
    they are others.
    """
    names = [_name(label) for label in labels]
    if sorted(names) == sorted(signature.classes):
        same = tuple(names) == signature.classes
        return None if same else np.array([names.index(name) for name in signature.classes], dtype=np.intp)
    if names == [str(place) for place in range(len(signature.classes))]:
        return None
    raise Inadmissible(file, f"has the classes {', '.join(names[:10])}; the signature has {signature.classes[:10]}")


def _name(label: Any) -> str:
    """The label as a signature writes it: `true`, 1 for 1.0."""
    value = label.item() if isinstance(label, np.generic) else label
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _values(array: FloatArray) -> FloatArray:
    if array.shape[1] != 1:
        raise ValueError(f"the model has {array.shape[1]} values per row; a regression has one")
    return array


def _both(array: FloatArray) -> FloatArray:
    """Probabilities of both classes from that of the last one."""
    return np.concatenate([1 - array, array], axis=1) if array.shape[1] == 1 else array
