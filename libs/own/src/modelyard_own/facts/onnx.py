"""Facts of an ONNX graph: names and shapes of inputs and outputs, and class labels of its operators.

Format: onnx.proto of ONNX 1.23; field numbers below.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Final

from modelyard_admission.buffers import Data, opened
from modelyard_admission.errors import Malformed
from modelyard_admission.readers.protobuf import BYTES, Field, fields, numbers, text
from modelyard_own.facts.known import Facts, task_of_classes
from modelyard_own.files import ModelFile

_MODEL_GRAPH: Final = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_ATTRIBUTE: Final = 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INTS, _ATTRIBUTE_STRINGS = 1, 8, 9
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TENSOR_NAME: Final = 8
_TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE = 1, 1, 2
_FLOATS: Final = frozenset({1, 10, 11})
"""Element types float, float16 and double: scores, unlike labels."""
LABELS: Final = frozenset({"classlabels_strings", "classlabels_int64s", "classlabels_ints"})
"""Attributes of the operators of ai.onnx.ml that name classes."""


@dataclass(frozen=True)
class _Value:
    """An input or output; a dimension that is not fixed is None. element: type of a tensor, 0 for anything else."""

    name: str
    element: int = 0
    shape: tuple[int | None, ...] = ()


def facts_of(files: Sequence[ModelFile]) -> Facts:
    """Read inputs, outputs and class labels of the first graph."""
    for file in files:
        with suppress(Malformed, OSError), opened(file.source) as data:
            for found in fields(data, 0, len(data)):
                if found.number == _MODEL_GRAPH:
                    return _facts(data, found)
    return Facts()


def _facts(data: Data, graph: Field) -> Facts:
    inside = list(_inside(data, graph))
    stored = {_name(data, found, _TENSOR_NAME) for found in inside if found.number == _GRAPH_INITIALIZER}
    inputs = [_value(data, found) for found in inside if found.number == _GRAPH_INPUT]
    given = [value for value in inputs if value.name not in stored]
    outputs = [_value(data, found) for found in inside if found.number == _GRAPH_OUTPUT]
    classes = next((labels for node in inside if node.number == _GRAPH_NODE and (labels := _labels(data, node))), ())
    count = len(classes) or _score_columns(outputs)
    return Facts(
        task=task_of_classes(count) if count else None,
        classes=classes,
        class_count=count,
        features=tuple(value.name for value in given) if len(given) > 1 else (),
        feature_count=_columns(given[0]) if len(given) == 1 else None,
        evidence=f"outputs {', '.join(value.name for value in outputs)}",
    )


def _inside(data: Data, outer: Field) -> Iterator[Field]:
    if outer.wire != BYTES:
        raise Malformed(f"holds a number where field {outer.number} is a message", f"byte {outer.start}")
    return fields(data, outer.start, outer.end)


def _name(data: Data, outer: Field, number: int) -> str:
    return next((text(data, found) for found in _inside(data, outer) if found.number == number), "")


def _value(data: Data, outer: Field) -> _Value:
    name, element, shape = "", 0, list[int | None]()
    for found in _inside(data, outer):
        if found.number == _VALUE_NAME:
            name = text(data, found)
        elif found.number == _VALUE_TYPE:
            for tensor in (it for it in _inside(data, found) if it.number == _TYPE_TENSOR):
                element, shape = _tensor(data, tensor)
    return _Value(name, element, tuple(shape))


def _tensor(data: Data, outer: Field) -> tuple[int, list[int | None]]:
    element, shape = 0, list[int | None]()
    for found in _inside(data, outer):
        if found.number == _TENSOR_ELEMENT:
            element = found.value
        elif found.number == _TENSOR_SHAPE:
            for dimension in _inside(data, found):
                sizes = [it.value for it in _inside(data, dimension) if it.number == 1]
                shape.append(sizes[0] if sizes else None)
    return element, shape


def _columns(value: _Value) -> int | None:
    """Numbers of one row; None if a dimension is not fixed."""
    sizes = value.shape[1:]
    return prod(size for size in sizes if size) if sizes and all(sizes) else None


def _score_columns(outputs: Sequence[_Value]) -> int | None:
    """Columns of the only output of scores, one per class; None if no output has more than one."""
    wide = [_columns(value) for value in outputs if value.element in _FLOATS and len(value.shape) == 2]
    return wide[0] if len(wide) == 1 and (wide[0] or 0) > 1 else None


def _labels(data: Data, node: Field) -> tuple[str, ...]:
    """Class labels of a node; empty if it has none."""
    for attribute in (found for found in _inside(data, node) if found.number == _NODE_ATTRIBUTE):
        inside = list(_inside(data, attribute))
        named = next((text(data, found) for found in inside if found.number == _ATTRIBUTE_NAME), "")
        if named in LABELS:
            strings = [text(data, found) for found in inside if found.number == _ATTRIBUTE_STRINGS]
            whole = [str(it) for found in inside if found.number == _ATTRIBUTE_INTS for it in numbers(data, found)]
            if strings or whole:
                return tuple(strings or whole)
    return ()
