"""Vectors of texts: `/embeddings`."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from modelyard_flavours.errors import BadParameter
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.providers.access import Access, Terms
from modelyard_flavours.providers.call import BAD_ANSWER, called
from modelyard_flavours.providers.chat import BYTES_PER_TOKEN, usage_of
from modelyard_flavours.providers.limits import Throttle

PATH: Final = "/embeddings"
BATCH_ROWS: Final = 128
"""Texts of one call."""


class RemoteEncoder:
    """A model of a provider that embeds texts. column: name of the text; dimension: numbers of a vector."""

    classes: tuple[str, ...] = ()
    shape = (0, 1)
    remote = True
    """See ChatGenerator."""

    def __init__(self, access: Access, model: str, column: str, dimension: int) -> None:
        self._access, self._model, self._column, self._dimension = access, model, column, dimension
        self._throttle = Throttle()

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        """Vectors of shape (rows, dimension). ProviderError, or BadParameter for a text that exceeds the context."""
        texts = [text or "" for text in categorical[:, 0]]
        batches = [texts[start : start + BATCH_ROWS] for start in range(0, len(texts), BATCH_ROWS)]
        if not batches:
            return np.zeros((0, self._dimension))
        return np.concatenate([self._vectors(batch) for batch in batches])

    def _vectors(self, texts: list[str]) -> FloatArray:
        terms = self._access.terms()
        self._check_context(texts, terms)
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        with called(terms, self._throttle, PATH, body) as answer:
            document = answer.document()
        if (usage := usage_of(document)) is not None:
            self._throttle.used(usage.input_tokens)
        return self._read(document.get("data"), len(texts), terms)

    def _check_context(self, texts: Sequence[str], terms: Terms) -> None:
        limit = terms.model.context_tokens
        longest = max(len(text.encode()) for text in texts) // BYTES_PER_TOKEN
        if limit is not None and longest > limit:
            context = f"connection {terms.name}: the context of {self._model} is {limit}"
            raise BadParameter(self._column, f"has about {longest} tokens; {context}")

    def _read(self, data: Any, count: int, terms: Terms) -> FloatArray:
        try:
            ordered = sorted(data, key=lambda one: one["index"])
            places = [one["index"] for one in ordered]
            vectors = np.array([one["embedding"] for one in ordered], dtype=np.float64)
        except (TypeError, KeyError, ValueError, AttributeError):
            raise terms.error("the provider gave an answer without vectors in `data`", BAD_ANSWER) from None
        if places != list(range(count)) or vectors.shape != (count, self._dimension):
            problem = f"the provider gave vectors of the shape {vectors.shape}, not ({count}, {self._dimension})"
            raise terms.error(problem, BAD_ANSWER)
        if not np.isfinite(vectors).all():
            raise terms.error("the provider gave a vector with a number that is not finite", BAD_ANSWER)
        return vectors
