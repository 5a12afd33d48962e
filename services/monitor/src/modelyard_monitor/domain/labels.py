"""Which prediction a label is about, and whether it can be compared with it. Pure.

A label that does not match is rejected with a reason: it is stored and counted as such, and takes part in nothing else.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from modelyard_contracts.usable import parse_number, usable_number


class Rejection(StrEnum):
    """Why a label does not match."""

    EMPTY = "empty"
    """Neither a class nor a value."""
    UNKNOWN_CLASS = "unknown_class"
    """Not a class of the version."""
    WRONG_KIND = "wrong_kind"
    """A value for a classifier, or a class for a regression."""
    UNUSABLE_NUMBER = "unusable_number"
    """Not finite, or beyond float32."""
    AMBIGUOUS = "ambiguous"
    """It names no model, and fits predictions of several."""


Prediction = Mapping[str, Any]
"""A stored prediction: workspace, prediction_id, model, model_version, model_digest, class, score and more."""
Classes = Callable[[Prediction], Sequence[str]]
"""Returns the classes of the version that predicted; none when they are not known."""


@dataclass(frozen=True)
class Label:
    """One label as it was received."""

    workspace: str
    prediction_id: str
    named_model: str
    """The model that it names; '' when it names none."""
    label: str | None
    value: float | None

    @property
    def key(self) -> tuple[str, str]:
        return self.workspace, self.prediction_id


@dataclass(frozen=True)
class Match:
    """A label and the prediction that it is about."""

    prediction: Prediction
    rejected: Rejection | None = None
    wrong: bool | None = None
    """None when there are no classes to compare."""
    absolute_error: float | None = None
    true_class: str | None = None
    """The label of a classifier, if it was accepted."""
    true_value: float | None = None
    """The label of a regression, if it was accepted."""

    @property
    def key(self) -> tuple[str, str, str]:
        """(workspace, model, prediction_id): what one accepted label is counted for."""
        return self.prediction["workspace"], self.prediction["model"], self.prediction["prediction_id"]


def match(label: Label, candidates: Sequence[Prediction], classes: Classes) -> Match | None:
    """Return the prediction that a label is about; None when there is none.

    candidates: predictions under the label's id, at most one per model, oldest first. A label that names no model is
    about the one prediction that it can be compared with.
    """
    if label.named_model:
        candidates = [one for one in candidates if one["model"] == label.named_model]
    if not candidates:
        return None
    judged = [judge(label, one, classes) for one in candidates]
    accepted = [one for one in judged if one.rejected is None]
    if len(accepted) > 1:  # a class that is a number may be meant as one
        accepted = [one for one in accepted if (one.prediction["class"] is None) == (not label.label)] or accepted
    if len(accepted) > 1:
        return Match(accepted[0].prediction, Rejection.AMBIGUOUS)
    return accepted[0] if accepted else judged[0]


def judge(label: Label, prediction: Prediction, classes: Classes) -> Match:
    """Compare a label with one prediction."""
    if not label.label and label.value is None:
        return Match(prediction, Rejection.EMPTY)
    if prediction["class"] is not None:
        return _of_a_classifier(label, prediction, classes)
    if prediction["score"] is not None:
        return _of_a_regression(label, prediction)
    return Match(prediction)


def _of_a_classifier(label: Label, prediction: Prediction, classes: Classes) -> Match:
    if not label.label:
        return Match(prediction, Rejection.WRONG_KIND)
    if label.label == prediction["class"]:
        return Match(prediction, wrong=False, true_class=label.label)
    known = classes(prediction)
    if known and label.label not in known:
        return Match(prediction, Rejection.UNKNOWN_CLASS)
    return Match(prediction, wrong=True, true_class=label.label)


def _of_a_regression(label: Label, prediction: Prediction) -> Match:
    value = parse_number(label.label or "") if label.value is None else label.value
    if value is None:
        return Match(prediction, Rejection.WRONG_KIND)
    if not usable_number(value):
        return Match(prediction, Rejection.UNUSABLE_NUMBER)
    return Match(prediction, absolute_error=_distance(value, prediction["score"]), true_value=value)


def _distance(true: float, predicted: float) -> float | None:
    """Absolute error; None when it is not finite."""
    error = abs(true - predicted)
    return error if math.isfinite(error) else None


def judged_votes(match: Match) -> list[dict[str, Any]]:
    """Return the votes of the model's own versions on a prediction, each compared with the label.

    Empty for a prediction without votes and for a rejected label.
    """
    prediction = match.prediction
    if match.true_class is None and match.true_value is None:
        return []
    return [
        {
            "version": vote["version"],
            "digest": vote["digest"],
            "weight": vote["weight"],
            "drawn": int("ensemble:" not in vote["path"]),  # the record of a drawn member has a vote as well
            "wrong": None if match.true_class is None else int(vote["class"] != match.true_class),
            "absolute_error": None if match.true_value is None else _distance(match.true_value, vote["score"]),
        }
        for vote in prediction.get("votes") or ()
        if vote["model"] == prediction["model"] and vote["score"] is not None
    ]


def remedy(rejected: Mapping[str, int], texts: Mapping[str, int], classes: Sequence[str]) -> str:
    """Return what to change so that labels match. rejected: labels by reason; texts: the most frequent ones."""
    reason = max(rejected, key=lambda one: rejected[one])
    if reason == Rejection.AMBIGUOUS:
        return "several models predicted under the same id; name the model of each label"
    if reason == Rejection.EMPTY:
        return "send no label while the truth is unknown"
    if reason == Rejection.WRONG_KIND and classes:
        return f"send one of the classes {_listed(classes)} as label, not as value"
    if reason != Rejection.UNKNOWN_CLASS:
        return "send a finite number as value"
    for text in texts:
        meant = [name for name in classes if _alike(name, text)]
        if meant:
            return f"send {meant[0]!r} instead of {text!r}"
    return f"send one of the classes {_listed(classes)}, or train a version that has this class"


def _alike(name: str, text: str) -> bool:
    """Return whether two names differ only in case, in space around them, or in how a number is written."""
    if name.strip().casefold() == text.strip().casefold():
        return True
    number = parse_number(text)
    return number is not None and number == parse_number(name)


MAX_LISTED: Final = 10


def _listed(classes: Sequence[str]) -> str:
    more = len(classes) - MAX_LISTED
    return ", ".join(map(repr, classes[:MAX_LISTED])) + (f" and {more} more" if more > 0 else "")
