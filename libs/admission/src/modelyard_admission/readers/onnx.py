"""ONNX models, read by the wire format: graphs, initialisers, operator domains and external data.

Format: onnx.proto of ONNX 1.23 (field numbers below). Text inside of a message is not interpreted here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.readers.protobuf import BYTES, VARINT, Field, fields, numbers, text

_MODEL: Final = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_MODEL_IR, _MODEL_PRODUCER, _MODEL_PRODUCER_VERSION, _MODEL_GRAPH, _MODEL_OPSET, _MODEL_FUNCTION = 1, 2, 3, 7, 8, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OP, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = 5, 6, 10, 11, 22
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 2, 8, 9, 13, 14
_FUNCTION_NODE, _FUNCTION_DOMAIN = 7, 10
TENSOR_DATA: Final = {4: "float", 5: "int32", 6: "string", 7: "int64", 10: "double", 11: "uint64"}
"""Typed data fields of a tensor, used instead of the raw bytes."""
MAX_GRAPH_DEPTH: Final = 32


@dataclass(frozen=True, slots=True)
class External:
    """Values that are in another file."""

    location: str
    offset: int
    length: int | None


@dataclass(frozen=True, slots=True)
class Tensor:
    """A constant of the model. `raw` is the span of its little-endian values; `typed` of its typed fields."""

    name: str
    type: int
    shape: tuple[int, ...]
    raw: tuple[int, int] | None
    typed: tuple[Field, ...]
    external: External | None


@dataclass(slots=True)
class Model:
    ir_version: int = 0
    producer: str = ""
    producer_version: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
    """Version by domain; the domain of ONNX itself is the empty text."""
    domains: set[str] = field(default_factory=set)
    """Domains that a node uses."""
    functions: set[str] = field(default_factory=set)
    """Domains of functions that the model itself defines."""
    tensors: list[Tensor] = field(default_factory=list)
    graphs: int = 0


def looks_like(data: Data) -> bool:
    """True for a message whose fields are those of a model, with a version and a graph or imported operators."""
    seen: set[int] = set()
    try:
        for found in fields(data, 0, len(data)):
            if found.number not in _MODEL or (found.number == _MODEL_IR and found.wire != VARINT):
                return False
            seen.add(found.number)
    except Malformed:
        return _MODEL_IR in seen and len(seen) >= 2  # cut short: the scan reports it
    return _MODEL_IR in seen and bool(seen & {_MODEL_GRAPH, _MODEL_OPSET})


def read_model(data: Data) -> Model:
    """Read all messages that can name operators or data. Malformed where one is not valid."""
    model = Model()
    for found in fields(data, 0, len(data)):
        if found.number not in _MODEL:
            raise Malformed(f"holds the unknown field {found.number}", f"byte {found.start}")
        _read_field(data, found, model)
    if not model.graphs:
        raise Malformed("holds no graph")
    if not model.opsets:
        raise Malformed("names no set of operators; the file may be cut")
    return model


def _read_field(data: Data, found: Field, model: Model) -> None:
    if found.number == _MODEL_IR:
        model.ir_version = found.value
    elif found.number == _MODEL_PRODUCER:
        model.producer = text(data, found)
    elif found.number == _MODEL_PRODUCER_VERSION:
        model.producer_version = text(data, found)
    elif found.number == _MODEL_OPSET:
        _read_opset(data, found, model)
    elif found.number == _MODEL_GRAPH:
        _read_graph(data, found, model, 0)
    elif found.number == _MODEL_FUNCTION:
        _read_function(data, found, model)


def _inside(data: Data, found: Field) -> Iterator[Field]:
    if found.wire != BYTES:
        raise Malformed(f"holds a number where field {found.number} is a message", f"byte {found.start}")
    return fields(data, found.start, found.end)


def _read_opset(data: Data, outer: Field, model: Model) -> None:
    domain, version = "", 0
    for found in _inside(data, outer):
        if found.number == 1:
            domain = text(data, found)
        elif found.number == 2:
            version = found.value
    model.opsets[domain] = version


def _read_function(data: Data, outer: Field, model: Model) -> None:
    for found in _inside(data, outer):
        if found.number == _FUNCTION_NODE:
            _read_node(data, found, model, 0)
        elif found.number == _FUNCTION_DOMAIN:
            model.functions.add(text(data, found))


def _read_graph(data: Data, outer: Field, model: Model, depth: int) -> None:
    if depth > MAX_GRAPH_DEPTH:
        raise Malformed(f"nests graphs deeper than {MAX_GRAPH_DEPTH}")
    model.graphs += 1
    for found in _inside(data, outer):
        if found.number == _GRAPH_NODE:
            _read_node(data, found, model, depth)
        elif found.number == _GRAPH_INITIALIZER:
            model.tensors.append(_tensor(data, found))
        elif found.number == _GRAPH_SPARSE:
            _read_sparse(data, found, model)


def _read_node(data: Data, outer: Field, model: Model, depth: int) -> None:
    domain = ""
    for found in _inside(data, outer):
        if found.number == _NODE_DOMAIN:
            domain = text(data, found)
        elif found.number == _NODE_ATTRIBUTE:
            _read_attribute(data, found, model, depth)
    model.domains.add(domain)


def _read_attribute(data: Data, outer: Field, model: Model, depth: int) -> None:
    for found in _inside(data, outer):
        if found.number in {_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS}:
            model.tensors.append(_tensor(data, found))
        elif found.number in {_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS}:
            _read_graph(data, found, model, depth + 1)
        elif found.number == _ATTRIBUTE_SPARSE:
            _read_sparse(data, found, model)


def _read_sparse(data: Data, outer: Field, model: Model) -> None:
    for found in _inside(data, outer):
        if found.number in {1, 2}:
            model.tensors.append(_tensor(data, found))


def _tensor(data: Data, outer: Field) -> Tensor:
    name, kind, external = "", 0, False
    shape: list[int] = []
    raw: tuple[int, int] | None = None
    typed: list[Field] = []
    entries: dict[str, str] = {}
    for found in _inside(data, outer):
        if found.number == _TENSOR_DIMS:
            shape += numbers(data, found)
        elif found.number == _TENSOR_TYPE:
            kind = found.value
        elif found.number == _TENSOR_NAME:
            name = text(data, found)
        elif found.number == _TENSOR_RAW:
            raw = (found.start, found.end)
        elif found.number == _TENSOR_EXTERNAL:
            entries.update([_entry(data, found)])
        elif found.number == _TENSOR_LOCATION:
            external = found.value == 1
        elif found.number in TENSOR_DATA:
            typed.append(found)
    return Tensor(name, kind, tuple(shape), raw, tuple(typed), _external(entries) if external or entries else None)


def _entry(data: Data, outer: Field) -> tuple[str, str]:
    parts = {found.number: text(data, found) for found in _inside(data, outer)}
    return parts.get(1, ""), parts.get(2, "")


def _external(entries: dict[str, str]) -> External:
    try:
        length = int(entries["length"]) if "length" in entries else None
        return External(entries.get("location", ""), int(entries.get("offset", "0")), length)
    except ValueError as error:
        raise Malformed("gives external data an offset or a length that is no number") from error
