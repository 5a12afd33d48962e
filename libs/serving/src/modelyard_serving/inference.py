"""The endpoint `infer`: decode rows, predict in the batch, encode the outputs of the version's task."""

import numpy as np

from modelyard_contracts.inference import InvalidRequest, OutputTensor, TooManyRows, decode_request, encode_answer
from modelyard_contracts.inference.answer import CLASS, SCORES, VALUE
from modelyard_contracts.usable import LARGEST_NUMBER
from modelyard_serving.batching import Batcher, Floats, Inputs
from modelyard_serving.errors import BadRequest, OutOfRange, ServingError, TooLarge
from modelyard_serving.loading import LoadedModel, codec_of


class Inference:
    """Answers rows with one version."""

    def __init__(self, model: LoadedModel, batcher: Batcher, max_rows: int) -> None:
        self._model, self._batcher, self._max_rows = model, batcher, max_rows
        self._codec = codec_of(model)
        self._shape = (len(model.signature.numeric), len(model.signature.categorical))

    async def infer(self, body: bytes, timeout_s: float) -> bytes:
        """The answer's body; raises BadRequest, TooLarge, or an error of the model."""
        try:
            request = decode_request(body, max_rows=self._max_rows)
            rows = self._codec.rows(request)
        except TooManyRows as error:
            raise TooLarge(str(error), field=error.field) from error
        except InvalidRequest as error:
            raise BadRequest(str(error), field=error.field) from error
        inputs = Inputs.of(rows, *self._shape)
        outputs = self._outputs(await self._predict(inputs, timeout_s))
        model = self._model
        return encode_answer(model.name, model.version, model.digest, outputs, request_id=request.id)

    async def _predict(self, inputs: Inputs, timeout_s: float) -> Floats:
        """Scores, all finite. An error caused by numbers that no model computes with is the request's."""
        try:
            scores = await self._batcher.submit(inputs, timeout_s)
            if np.isfinite(scores).all():
                return scores
            error: Exception = ServingError("the model returned a score that is not finite; roll the version back")
        except ServingError:
            raise
        except Exception as failure:
            error = failure
        if (name := self._oversized(inputs)) is not None:
            message = (
                f"input {name}: the model has no answer for numbers beyond {LARGEST_NUMBER:.1e}; send null instead"
            )
            raise OutOfRange(message, field=name) from error
        raise error

    def _oversized(self, inputs: Inputs) -> str | None:
        """Name of the first column with a number beyond LARGEST_NUMBER."""
        columns = np.flatnonzero((np.abs(inputs.numeric) > LARGEST_NUMBER).any(axis=0))
        return self._model.signature.numeric[columns[0]] if len(columns) else None

    def _outputs(self, scores: Floats) -> list[OutputTensor]:
        """scores: (rows, classes), or (rows, 1) of a regression."""
        classes = self._model.signature.classes
        if not classes:
            return [OutputTensor(VALUE, "FP64", [len(scores)], scores.ravel().tolist())]
        if scores.shape[1] != len(classes):
            raise ServingError(f"the model returned {scores.shape[1]} scores for {len(classes)} classes")
        best = [classes[place] for place in scores.argmax(axis=1)]
        return [
            OutputTensor(CLASS, "BYTES", [len(best)], best),
            OutputTensor(SCORES, "FP64", list(scores.shape), scores.ravel().tolist()),
        ]
