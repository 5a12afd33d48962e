"""Answers of model servers, and the answer to the caller."""

from typing import Any, Final, NamedTuple

import msgspec

from modelyard_router.domain.routes import Target


class WrongReplica(Exception):
    """The answer is another version's: its address was reused. Raised by answer readers."""


class BadAnswer(Exception):
    """The answer does not follow the protocol. Raised by answer readers."""


class Output(msgspec.Struct):
    name: str
    data: list[float | str | None]


class Parameters(msgspec.Struct):
    digest: str = ""


class InferAnswer(msgspec.Struct):
    outputs: list[Output]
    parameters: Parameters


class Row(NamedTuple):
    """The answer for one row. score: of the positive class of two, of the best of several, or the predicted value."""

    class_: str | None
    score: float | None
    scores: tuple[float, ...]


class Prediction(msgspec.Struct, rename={"class_": "class"}):
    """The body of an answer."""

    prediction_id: str
    model: str
    version: int
    digest: str
    class_: str | None
    score: float | None
    scores: dict[str, float]
    route: str
    variant: str


_DECODE: Final = msgspec.json.Decoder(InferAnswer).decode


def read_row(body: bytes, target: Target) -> list[Row]:
    """The only row of an answer; BadAnswer or WrongReplica when it is not an answer of this target."""
    classes, scores = _outputs(body, target)
    if len(classes) > 1 or (classes and len(scores) < 2) or (not classes and len(scores) != 1):
        raise BadAnswer(f"{len(classes)} classes and {len(scores)} scores for one row")
    score = scores[-1] if len(scores) <= 2 else max(scores)
    return [Row(classes[0] if classes else None, score, scores)]


def read_rows(body: bytes, target: Target, count: int) -> list[Row]:
    """The rows of an answer to `count` rows."""
    classes, scores = _outputs(body, target)
    if (classes and len(classes) != count) or not scores or len(scores) % count:
        raise BadAnswer(f"{len(classes)} classes and {len(scores)} scores for {count} rows")
    width = len(scores) // count
    return [_row(classes[i] if classes else None, scores[i * width : (i + 1) * width]) for i in range(count)]


def _outputs(body: bytes, target: Target) -> tuple[list[str], tuple[float, ...]]:
    try:
        answer = _DECODE(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadAnswer(f"not an Open Inference Protocol v2 answer: {error}") from error
    if answer.parameters.digest != target.digest:
        raise WrongReplica(answer.parameters.digest)
    classes: list[Any] = []
    scores: list[Any] = []
    for output in answer.outputs:
        if output.name == "scores":
            scores = output.data
        elif output.name == "class":
            classes = output.data
    for value in scores:
        if type(value) is not float:
            raise BadAnswer(f"a score that is not a number: {value!r}")
    for value in classes:
        if type(value) is not str:
            raise BadAnswer(f"a class that is not a string: {value!r}")
    return classes, tuple(scores)


def _row(class_: str | None, scores: tuple[float, ...]) -> Row:
    score = scores[-1] if len(scores) <= 2 else max(scores)
    return Row(class_, score, scores)


def named_scores(classes: tuple[str, ...], row: Row) -> dict[str, float]:
    """Class to probability; empty for a regression, numbered when the contract names no classes."""
    if row.class_ is None:
        return {}
    if len(classes) == len(row.scores):
        return dict(zip(classes, row.scores, strict=True))
    return {str(place): score for place, score in enumerate(row.scores)}
