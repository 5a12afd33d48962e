"""Flavour `torch-mlp`: a multi-layer perceptron (classifier) trained with torch, its weights in safetensors.

The file is the network's state dict, which torch reads directly. Serving needs no torch: the forward pass is plain
numpy, and a replica without torch starts in a fraction of the time and of the memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from modelyard_flavours.encoding import Encoding
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.scores import to_scores
from modelyard_flavours.stored import environment as environment  # part of every flavour
from modelyard_flavours.stored import read_document, read_tensors

NAME: Final = "torch-mlp"
MODEL: Final = "model.safetensors"
ENCODING: Final = "encoding.json"
FILES: Final = (MODEL, ENCODING)

MAX_SCALED: Final = 1e4
"""Standard deviations from the mean; larger inputs would overflow float32 in the layers."""

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class FittedMlp:
    """Argument of save_model.

    tensors: `input.mean` and `input.scale` of shape (width,), and per layer n = 0, 1, ... `layers.n.weight` of shape
    (out, in) and `layers.n.bias` of shape (out,); ReLU between the layers, softmax after the last one.
    """

    tensors: Tensors
    encoding: Encoding


class MlpPredictor:
    """A loaded perceptron."""

    def __init__(self, tensors: Tensors, encoding: Encoding) -> None:
        self._encoding = encoding
        self._mean, self._scale, self._layers = _parts(tensors, encoding)

    @property
    def classes(self) -> tuple[str, ...]:
        return self._encoding.classes

    @property
    def shape(self) -> tuple[int, int]:
        return self._encoding.shape

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        hidden = scaled(self._encoding.matrix(numeric, categorical), self._mean, self._scale)
        for place, (weight, bias) in enumerate(self._layers):
            hidden = (np.maximum(hidden, 0) if place else hidden) @ weight.T + bias
        return to_scores(hidden.astype(np.float64))


def scaled(matrix: FloatArray, mean: FloatArray, scale: FloatArray) -> NDArray[np.float32]:
    """Input of the network, in training and in serving: a missing value is the mean, extremes are clipped."""
    values = np.clip((matrix - mean) / scale, -MAX_SCALED, MAX_SCALED)
    return np.where(np.isnan(values), 0.0, values).astype(np.float32)


def predictor(fitted: object) -> MlpPredictor:
    """The predictor of a fitted perceptron; Inadmissible if its tensors do not fit."""
    return MlpPredictor(_checked(fitted).tensors, _checked(fitted).encoding)


def _checked(fitted: object) -> FittedMlp:
    if not isinstance(fitted, FittedMlp):
        raise TypeError(f"flavour {NAME!r} takes FittedMlp, not {type(fitted).__name__}")
    return fitted


def save(model: object, folder: Path) -> None:
    """Write the flavour's files; Inadmissible if they could not be loaded again."""
    fitted = _checked(model)
    _parts(fitted.tensors, fitted.encoding)
    tensors = {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in fitted.tensors.items()}
    (folder / MODEL).write_bytes(safetensors.numpy.save(tensors))
    (folder / ENCODING).write_text(fitted.encoding.model_dump_json(indent=1) + "\n")


def check(files: Mapping[str, bytes]) -> None:
    """Inadmissible if the tensors do not make a perceptron; safetensors hold numbers only."""
    load(files)


def load(files: Mapping[str, bytes]) -> MlpPredictor:
    """Build the predictor."""
    encoding = read_document(Encoding, ENCODING, files[ENCODING])
    return MlpPredictor(read_tensors(MODEL, files[MODEL]), encoding)


def _parts(
    tensors: Tensors, encoding: Encoding
) -> tuple[FloatArray, FloatArray, list[tuple[NDArray[np.float32], NDArray[np.float32]]]]:
    """Mean, scale and layers; Inadmissible unless the shapes lead from the encoding's width to its classes."""
    count = (len(tensors) - 2) // 2
    names = {"input.mean", "input.scale"} | {f"layers.{n}.{part}" for n in range(count) for part in ("weight", "bias")}
    if set(tensors) != names or count < 1:
        raise Inadmissible(MODEL, f"has the tensors {sorted(tensors)}; a perceptron has {sorted(names)}")
    if not all(np.isfinite(value).all() and value.dtype == np.float32 for value in tensors.values()):
        raise Inadmissible(MODEL, "has a tensor that is not finite or not float32")
    width = encoding.width
    if tensors["input.mean"].shape != (width,) or tensors["input.scale"].shape != (width,):
        raise Inadmissible(MODEL, f"input.mean or input.scale does not have the shape ({width},)")
    if not (tensors["input.scale"] > 0).all():
        raise Inadmissible(MODEL, "input.scale is not above zero")
    layers = []
    for n in range(count):
        weight, bias = tensors[f"layers.{n}.weight"], tensors[f"layers.{n}.bias"]
        if weight.ndim != 2 or weight.shape[1] != width or bias.shape != (weight.shape[0],):
            raise Inadmissible(MODEL, f"layers.{n} has the shape {weight.shape} for {width} inputs")
        width = weight.shape[0]
        layers.append((weight, bias))
    if width != len(encoding.classes) or not encoding.classes:
        raise Inadmissible(MODEL, f"ends in {width} values for {len(encoding.classes)} classes")
    return tensors["input.mean"].astype(np.float64), tensors["input.scale"].astype(np.float64), layers
