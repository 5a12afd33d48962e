"""Answers of the Open Inference Protocol: the outputs of each task, and the rows read back.

binary, multiclass: `class` BYTES [rows], `scores` FP64 [rows, classes]. regression: `value` FP64 [rows].
text: `text` BYTES [rows]. embedding: `embedding` FP64 [rows, dimension]. `parameters.digest` is the digest of the
version that answered.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from modelyard_contracts.inference.errors import InvalidAnswer
from modelyard_contracts.signature import Signature, Task

CLASS: Final = "class"
SCORES: Final = "scores"
VALUE: Final = "value"
TEXT: Final = "text"
EMBEDDING: Final = "embedding"


class OutputTensor(msgspec.Struct):
    """One output; data is flat, in row-major order."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class Answer(NamedTuple):
    """The answer for one row.

    class_: predicted class, None for other tasks. score: probability of the positive class (binary), largest
    probability (multiclass) or the predicted value (regression). scores: by class. text: generated text. vector: an
    embedding.
    """

    class_: str | None = None
    score: float | None = None
    scores: tuple[float, ...] = ()
    text: str | None = None
    vector: tuple[float, ...] = ()


class _Output(msgspec.Struct):
    name: str
    data: list[float | str | None]


class _Parameters(msgspec.Struct):
    digest: str = ""


class _Body(msgspec.Struct):
    outputs: list[_Output]
    parameters: _Parameters


_DECODE: Final = msgspec.json.Decoder(_Body).decode
_ENCODE: Final = msgspec.json.Encoder().encode


def describe_outputs(signature: Signature) -> list[dict[str, Any]]:
    """`outputs` of the protocol's model metadata."""
    if signature.task.classifies:
        return [
            {"name": CLASS, "datatype": "BYTES", "shape": [-1]},
            {"name": SCORES, "datatype": "FP64", "shape": [-1, len(signature.classes)]},
        ]
    if signature.task is Task.REGRESSION:
        return [{"name": VALUE, "datatype": "FP64", "shape": [-1]}]
    if signature.task is Task.EMBEDDING:
        return [{"name": EMBEDDING, "datatype": "FP64", "shape": [-1, signature.width]}]
    return [{"name": TEXT, "datatype": "BYTES", "shape": [-1]}]


def outputs_of(signature: Signature, answers: Sequence[Answer]) -> list[OutputTensor]:
    """The outputs of rows with classes or values; `decode_answer` reads them back."""
    rows = len(answers)
    if signature.task is Task.REGRESSION:
        return [OutputTensor(VALUE, "FP64", [rows], [answer.score for answer in answers])]
    scores = [score for answer in answers for score in answer.scores]
    return [
        OutputTensor(CLASS, "BYTES", [rows], [answer.class_ for answer in answers]),
        OutputTensor(SCORES, "FP64", [rows, len(signature.classes)], scores),
    ]


def encode_answer(
    model: str,
    version: str,
    digest: str,
    outputs: Sequence[OutputTensor],
    *,
    request_id: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> bytes:
    """The body of an answer. parameters: in addition to the digest."""
    head: dict[str, Any] = {"model_name": model, "model_version": version}
    if request_id is not None:
        head["id"] = request_id
    return _ENCODE({**head, "outputs": outputs, "parameters": {"digest": digest, **(parameters or {})}})


def decode_answer(body: bytes, signature: Signature, rows: int) -> tuple[str, list[Answer]]:
    """The digest of the version that answered, and one Answer per row; InvalidAnswer if the body is no such answer."""
    try:
        answer = _DECODE(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidAnswer(f"not an Open Inference Protocol answer: {error}") from error
    outputs = {output.name: output.data for output in answer.outputs}
    if signature.task.classifies:
        return answer.parameters.digest, _classes(outputs, signature, rows)
    if signature.task is Task.REGRESSION:
        values = _column(outputs, VALUE, float, rows)
        return answer.parameters.digest, [Answer(score=value) for value in values]
    if signature.task is Task.EMBEDDING:
        return answer.parameters.digest, _vectors(outputs, signature.width, rows)
    return answer.parameters.digest, [Answer(text=text) for text in _column(outputs, TEXT, str, rows)]


def _classes(outputs: dict[str, list[Any]], signature: Signature, rows: int) -> list[Answer]:
    width = len(signature.classes)
    names = _column(outputs, CLASS, str, rows)
    scores = _column(outputs, SCORES, float, rows * width)
    positive = signature.task is Task.BINARY
    answers = []
    for row, name in enumerate(names):
        own = tuple(scores[row * width : (row + 1) * width])
        answers.append(Answer(name, own[-1] if positive else max(own), own))
    return answers


def _vectors(outputs: dict[str, list[Any]], width: int, rows: int) -> list[Answer]:
    values = _column(outputs, EMBEDDING, float, rows * width)
    return [Answer(vector=tuple(values[row * width : (row + 1) * width])) for row in range(rows)]


def _column(outputs: dict[str, list[Any]], name: str, type_: type, count: int) -> list[Any]:
    data = outputs.get(name)
    if data is None or len(data) != count:
        found = "missing" if data is None else f"{len(data)} values"
        raise InvalidAnswer(f"output {name}: {found}; {count} are needed")
    for value in data:
        if type(value) is not type_:
            raise InvalidAnswer(f"output {name}: holds a {type(value).__name__}")
    return data
