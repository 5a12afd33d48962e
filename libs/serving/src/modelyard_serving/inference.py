"""The call `infer`: decode rows, predict in the batch, encode the outputs of the version's task."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from modelyard_contracts.inference import (
    InferenceCodec,
    InferenceRequest,
    InvalidRequest,
    MemberAnswer,
    MemberAnswers,
    OutputTensor,
    TooManyRows,
    decode_request,
    encode_answer,
    encode_members,
)
from modelyard_contracts.inference.answer import CLASS, EMBEDDING, SCORES, VALUE
from modelyard_contracts.signature import Task
from modelyard_contracts.usable import LARGEST_NUMBER
from modelyard_serving.batching import Batcher
from modelyard_serving.errors import BadRequest, DeadlinePassed, NotFound, OutOfRange, ServingError, TooLarge, refusal
from modelyard_serving.lanes import Inputs, Outcome, Scores
from modelyard_serving.loading import LoadedModel, codec_of


@dataclass(frozen=True, eq=False)
class Served:
    """A version that answers rows."""

    model: LoadedModel
    codec: InferenceCodec

    @classmethod
    def of(cls, model: LoadedModel) -> "Served":
        return cls(model, codec_of(model))

    def inputs(self, request: InferenceRequest) -> Inputs:
        """BadRequest names the input that breaks the signature."""
        try:
            rows = self.codec.rows(request)
        except InvalidRequest as error:
            raise BadRequest(str(error), field=error.field) from error
        return Inputs.of(rows, len(self.model.signature.numeric), len(self.model.signature.categorical))

    def answer(self, outcome: Outcome, inputs: Inputs, request_id: str | None) -> bytes:
        """The body of an answer; raises an error of the version, or OutOfRange if the request is at fault."""
        scores = self._usable(outcome.scores, inputs)
        model = self.model
        return encode_answer(model.name, model.version, model.digest, self._outputs(scores), request_id=request_id)

    def _usable(self, scores: Scores | Exception, inputs: Inputs) -> Scores:
        """Scores, all finite. An error caused by numbers that no model computes with is the request's."""
        if isinstance(scores, ServingError):
            raise scores
        if not isinstance(scores, Exception):
            if scores.finite:
                return scores
            scores = ServingError("the model returned a score that is not finite; roll the version back")
        if (name := self._oversized(inputs)) is not None:
            message = (
                f"input {name}: the model has no answer for numbers beyond {LARGEST_NUMBER:.1e}; send null instead"
            )
            raise OutOfRange(message, field=name) from scores
        raise scores

    def _oversized(self, inputs: Inputs) -> str | None:
        """Name of the first column with a number beyond LARGEST_NUMBER."""
        columns = np.flatnonzero((np.abs(inputs.numeric) > LARGEST_NUMBER).any(axis=0))
        return self.model.signature.numeric[columns[0]] if len(columns) else None

    def _outputs(self, scores: Scores) -> list[OutputTensor]:
        """scores: as many per row as there are classes, or as the vector has values; one per row of a regression."""
        signature, rows = self.model.signature, len(scores.best)
        classes = signature.classes
        if signature.task is Task.EMBEDDING:
            if scores.width != signature.width:
                raise ServingError(f"the model returned {scores.width} values per vector, not {signature.width}")
            return [OutputTensor(EMBEDDING, "FP64", [rows, scores.width], scores.flat)]
        if not classes:
            return [OutputTensor(VALUE, "FP64", [len(scores.flat)], scores.flat)]
        if scores.width != len(classes):
            raise ServingError(f"the model returned {scores.width} scores for {len(classes)} classes")
        return [
            OutputTensor(CLASS, "BYTES", [rows], [classes[place] for place in scores.best]),
            OutputTensor(SCORES, "FP64", [rows, scores.width], scores.flat),
        ]


class Inference:
    """Answers rows with one version, or with several of one server."""

    def __init__(self, batcher: Batcher, max_rows: int) -> None:
        self._batcher, self._max_rows = batcher, max_rows

    async def infer(self, served: Served, body: bytes, timeout_s: float) -> bytes:
        """The answer's body; raises BadRequest, TooLarge, or an error of the model."""
        request = self._decode(body)
        inputs, version = served.inputs(request), served.model.version
        outcomes = await self._batcher.submit(inputs, [version], timeout_s)
        return served.answer(outcomes[version], inputs, request.id)

    async def infer_all(self, wanted: Mapping[str, Served | None], body: bytes, timeout_s: float) -> bytes:
        """One answer per version, each with a status of its own, in a body of `encode_members`.

        wanted: versions as the request names them; None for one that is not loaded. A version that has not answered
        after `timeout_s` has the status 504.
        """
        request = self._decode(body)
        fitting = _of_one_signature(wanted)
        if not fitting:
            refused = [_refused(version, _not_asked(version, one)) for version, one in wanted.items()]
            return encode_members(MemberAnswers(refused))
        inputs = next(iter(fitting.values())).inputs(request)
        try:
            outcomes = await self._batcher.submit(inputs, list(fitting), timeout_s)
        except DeadlinePassed:
            outcomes = {}
        answers = []
        for version, one in wanted.items():
            if version not in fitting:
                answers.append(_refused(version, _not_asked(version, one)))
            elif (outcome := outcomes.get(version)) is None:
                answers.append(_refused(version, DeadlinePassed(f"no prediction within {timeout_s:.3f} s")))
            else:
                answers.append(_answered(version, fitting[version], outcome, inputs))
        return encode_members(MemberAnswers(answers, _span_ms(outcomes.values())))

    def _decode(self, body: bytes) -> InferenceRequest:
        try:
            return decode_request(body, max_rows=self._max_rows)
        except TooManyRows as error:
            raise TooLarge(str(error), field=error.field) from error
        except InvalidRequest as error:
            raise BadRequest(str(error), field=error.field) from error


def _of_one_signature(wanted: Mapping[str, Served | None]) -> dict[str, Served]:
    """The loaded versions that read the request as the first of them does."""
    found: dict[str, Served] = {}
    schema_id = ""
    for version, one in wanted.items():
        if one is not None and schema_id in ("", one.model.manifest.feature_schema_id):
            schema_id = one.model.manifest.feature_schema_id
            found[version] = one
    return found


def _not_asked(version: str, served: Served | None) -> ServingError:
    if served is None:
        return NotFound(f"version {version} is not loaded here")
    return BadRequest(f"version {version} has another signature than the others; send it a request of its own")


def _answered(version: str, served: Served, outcome: Outcome, inputs: Inputs) -> MemberAnswer:
    predict_ms = _ms(outcome.ended - outcome.started)
    try:
        return MemberAnswer(version, 200, msgspec.Raw(served.answer(outcome, inputs, None)), predict_ms)
    except Exception as error:
        return _refused(version, error, predict_ms)


def _refused(version: str, error: Exception, predict_ms: float = 0.0) -> MemberAnswer:
    status, body = refusal(error)
    return MemberAnswer(version, status, msgspec.Raw(body), predict_ms)


def _span_ms(outcomes: Collection[Outcome]) -> float:
    """From the start of the first prediction to the end of the last one."""
    if not outcomes:
        return 0.0
    return _ms(max(one.ended for one in outcomes) - min(one.started for one in outcomes))


def _ms(seconds: float) -> float:
    """Few digits: callers cache the heads of answers, which name the length of the body."""
    return round(seconds * 1000, 3)
