"""Flavour `text-linear`: a linear classifier over tf-idf terms of one text, as numbers and JSON.

Loading and prediction need numpy and safetensors only.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import Field

from modelyard_contracts.messages import Part
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.scores import to_scores
from modelyard_flavours.stored import environment as environment  # part of every flavour
from modelyard_flavours.stored import read_document, read_tensors
from modelyard_flavours.texts import terms

NAME: Final = "text-linear"
MODEL: Final = "model.safetensors"
ENCODING: Final = "vocabulary.json"
FILES: Final = (MODEL, ENCODING)
MAX_TERMS: Final = 200_000
TENSORS: Final = frozenset({"idf", "weight", "bias"})


class Vocabulary(Part):
    """Stored beside the model as `vocabulary.json`."""

    schema_version: int = Field(default=1, ge=1, le=1)
    terms: tuple[str, ...] = Field(min_length=1, max_length=MAX_TERMS)
    """Words and pairs of words, in the order of the weights."""
    classes: tuple[str, ...] = Field(min_length=2)


@dataclass(frozen=True)
class FittedText:
    """Argument of save_model.

    idf: shape (terms,). weight: shape (classes, terms). bias: shape (classes,).
    """

    idf: FloatArray
    weight: FloatArray
    bias: FloatArray
    vocabulary: Vocabulary


class TextPredictor:
    """A loaded text classifier; the text is the only categorical feature."""

    def __init__(self, tensors: Mapping[str, NDArray[np.float32]], vocabulary: Vocabulary) -> None:
        _check_tensors(tensors, vocabulary)
        self._idf, self._bias = tensors["idf"].astype(np.float64), tensors["bias"].astype(np.float64)
        self._weight = np.ascontiguousarray(tensors["weight"].T, dtype=np.float64)
        self._vectors = TermVectors(vocabulary.terms, self._idf)
        self._classes = vocabulary.classes

    @property
    def classes(self) -> tuple[str, ...]:
        return self._classes

    @property
    def shape(self) -> tuple[int, int]:
        return 0, 1

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        if numeric.shape != (len(categorical), 0) or categorical.shape != (len(categorical), 1):
            raise ValueError(f"numeric {numeric.shape} and categorical {categorical.shape} do not fit one text")
        raw = np.tile(self._bias, (len(categorical), 1))
        for row, text in enumerate(categorical[:, 0]):
            places, values = self._vectors.of(text)
            raw[row] += values @ self._weight[places]
        return to_scores(raw)


class TermVectors:
    """Sparse tf-idf vectors of unit length: tf = 1 + log(count), as in scikit-learn's sublinear tf."""

    def __init__(self, vocabulary: tuple[str, ...], idf: FloatArray) -> None:
        self._places = {term: place for place, term in enumerate(vocabulary)}
        self._idf = idf

    def of(self, text: str | None) -> tuple[NDArray[np.intp], FloatArray]:
        """Places and values of the known terms of a text; none for a missing text."""
        counts = Counter(self._places[term] for term in terms(text or "") if term in self._places)
        places = np.fromiter(counts.keys(), dtype=np.intp, count=len(counts))
        values = (1.0 + np.log(np.fromiter(counts.values(), dtype=np.float64, count=len(counts)))) * self._idf[places]
        length = float(np.sqrt(values @ values))
        return places, values / length if length else values


def predictor(fitted: object) -> TextPredictor:
    """The predictor of a fitted text classifier; Inadmissible if its tensors do not fit."""
    return TextPredictor(_tensors(_checked(fitted)), _checked(fitted).vocabulary)


def _checked(fitted: object) -> FittedText:
    if not isinstance(fitted, FittedText):
        raise TypeError(f"flavour {NAME!r} takes FittedText, not {type(fitted).__name__}")
    return fitted


def _tensors(fitted: FittedText) -> dict[str, NDArray[np.float32]]:
    arrays = {"idf": fitted.idf, "weight": fitted.weight, "bias": fitted.bias}
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in arrays.items()}


def save(model: object, folder: Path) -> None:
    """Write the flavour's files; Inadmissible if they could not be loaded again."""
    fitted = _checked(model)
    data = fitted.vocabulary.model_dump_json().encode()
    files = {MODEL: safetensors.numpy.save(_tensors(fitted)), ENCODING: data}
    load(files)
    for path, data in files.items():
        (folder / path).write_bytes(data)


def check(files: Mapping[str, bytes]) -> None:
    """Inadmissible if the files do not make a text classifier; they hold numbers and strings only."""
    load(files)


def load(files: Mapping[str, bytes]) -> TextPredictor:
    """Build the predictor."""
    vocabulary = read_document(Vocabulary, ENCODING, files[ENCODING])
    return TextPredictor(read_tensors(MODEL, files[MODEL]), vocabulary)


def _check_tensors(tensors: Mapping[str, NDArray[np.float32]], vocabulary: Vocabulary) -> None:
    size, classes = len(vocabulary.terms), len(vocabulary.classes)
    if len(set(vocabulary.terms)) != size:
        raise Inadmissible(ENCODING, "has a term twice")
    if set(tensors) != TENSORS:
        raise Inadmissible(MODEL, f"has the tensors {sorted(tensors)}; a text classifier has {sorted(TENSORS)}")
    shapes = {"idf": (size,), "weight": (classes, size), "bias": (classes,)}
    for name, shape in shapes.items():
        if tensors[name].shape != shape or tensors[name].dtype != np.float32 or not np.isfinite(tensors[name]).all():
            raise Inadmissible(MODEL, f"{name} is not {shape} finite float32 numbers")
