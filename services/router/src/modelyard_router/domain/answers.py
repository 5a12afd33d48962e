"""Answers of model servers, and the answer to the caller."""

import contextlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from modelyard_contracts.inference import Answer, InvalidAnswer, decode_answer, encode_answer, outputs_of
from modelyard_router.domain.leaves import Leaf
from modelyard_router.domain.votes import Vote

NO_ANSWER: Final = Answer()


class WrongReplica(Exception):
    """The answer is another version's: its address was reused. Raised by answer readers."""


class BadAnswer(Exception):
    """The answer does not follow the protocol. Raised by answer readers."""


class VoteView(msgspec.Struct, rename={"class_": "class"}):
    """The answer of one member of an ensemble: class and score, or value. Lists for requests of several rows."""

    path: str
    model: str
    version: int
    digest: str
    weight: float
    class_: Any = UNSET
    score: Any = UNSET
    value: Any = UNSET


class _Prediction(msgspec.Struct):
    prediction_id: str
    model: str
    version: int
    digest: str


class ClassPrediction(_Prediction, rename={"class_": "class"}):
    """The answer of a classifier."""

    class_: str | None
    score: float | None
    scores: dict[str, float]
    route: str
    variant: str
    votes: list[VoteView] | UnsetType = UNSET


class ValuePrediction(_Prediction):
    """The answer of a regression."""

    value: float | None
    route: str
    variant: str
    votes: list[VoteView] | UnsetType = UNSET


class TextPrediction(_Prediction):
    """The answer of a version with text output."""

    text: str | None
    route: str
    variant: str


class VectorPrediction(_Prediction):
    """The answer of a version that embeds."""

    embedding: tuple[float, ...]
    route: str
    variant: str


class _Parameters(msgspec.Struct):
    digest: str = ""


class _Classes(msgspec.Struct):
    name: str
    data: list[str]


class _Scores(msgspec.Struct):
    name: str
    data: list[float]


class _ClassAnswer(msgspec.Struct):
    outputs: tuple[_Classes, _Scores]
    parameters: _Parameters


_DECODE: Final = msgspec.json.Decoder(_ClassAnswer).decode


def read_rows(body: bytes, leaf: Leaf, count: int = 1) -> list[Answer]:
    """The rows of an answer to `count` rows; BadAnswer, or WrongReplica when another version answered."""
    try:
        digest, answers = decode_answer(body, leaf.contract.signature, count)
    except InvalidAnswer as error:
        _check_digest(body, leaf)
        raise BadAnswer(str(error)) from error
    if digest != leaf.digest:
        raise WrongReplica(digest)
    return answers


def read_row(body: bytes, leaf: Leaf) -> Answer:
    """The only row of an answer; the same as `read_rows`, and faster for a classifier that answers as expected."""
    try:
        answer = _DECODE(body)
        names, scores = answer.outputs
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return read_rows(body, leaf)[0]
    data, classes = scores.data, names.data
    usual = (
        answer.parameters.digest == leaf.digest
        and names.name == "class"
        and scores.name == "scores"
        and len(classes) == 1
        and len(data) == len(leaf.contract.classes)
    )
    if not usual:
        return read_rows(body, leaf)[0]
    return Answer(classes[0], data[-1] if leaf.contract.binary else max(data), tuple(data))


class _Head(msgspec.Struct):
    parameters: _Parameters


def _check_digest(body: bytes, leaf: Leaf) -> None:
    """WrongReplica if an answer that does not fit the signature names another version."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeError, RecursionError):
        digest = msgspec.json.decode(body, type=_Head).parameters.digest
        if digest and digest != leaf.digest:
            raise WrongReplica(digest)


def prediction_of(prediction_id: str, leaf: Leaf, answer: Answer, votes: Sequence[Vote] = ()) -> Any:
    """The body of an answer to `predict`, by the task of the version that answered."""
    id_, model, version, digest = prediction_id, leaf.model, leaf.version, leaf.digest
    given = [_view(vote, 0) for vote in votes] if votes else UNSET
    if classes := leaf.contract.classes:
        class_, score, values, _, _ = answer
        scores = dict(zip(classes, values, strict=True))
        return ClassPrediction(id_, model, version, digest, class_, score, scores, leaf.route, leaf.variant, given)
    if leaf.generates:
        return TextPrediction(id_, model, version, digest, answer.text, leaf.route, leaf.variant)
    if leaf.embeds:
        return VectorPrediction(id_, model, version, digest, answer.vector, leaf.route, leaf.variant)
    return ValuePrediction(id_, model, version, digest, answer.score, leaf.route, leaf.variant, given)


def infer_answer(request_id: str | None, leaf: Leaf, answers: Sequence[Answer], votes: Sequence[Vote]) -> bytes:
    """The Open Inference answer of an ensemble; `parameters.votes` has the answers of each member, one per row."""
    return encode_answer(
        leaf.model,
        str(leaf.version),
        leaf.digest,
        outputs_of(leaf.contract.signature, answers),
        request_id=request_id,
        parameters={"votes": [_view(vote) for vote in votes]},
    )


def _view(vote: Vote, row: int | None = None) -> VoteView:
    """row: None for all rows."""
    leaf = vote.leaf
    view = VoteView(leaf.path, leaf.model, leaf.version, leaf.digest, vote.weight)
    class_: Any
    score: Any
    if row is not None:
        class_, score, _, _, _ = vote.answers[row]
    else:
        class_, score = [one.class_ for one in vote.answers], [one.score for one in vote.answers]
    if leaf.contract.classes:
        view.class_, view.score = class_, score
    else:
        view.value = score
    return view
