"""Flavour `torch-export`: a program saved with `torch.export.save`, tensors in and out.

It takes all columns in the order of the signature in one tensor of numbers. A program that was exported for a fixed
number of rows is called with that many at a time, which must be 1.
"""

from collections.abc import Mapping
from typing import Any, Final

from modelyard_contracts.manifest import MODEL_OPTION
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.foreign.columns import Columns
from modelyard_flavours.foreign.outputs import PROBABILITIES, SCORES, Outputs
from modelyard_flavours.foreign.tensors import SHAPE_MEANING, SHAPE_OPTION, in_batches, require_fit, stated_shape
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.version import Version, imported, versions_of

NAME: Final = "torch-export"
SUFFIXES: Final = frozenset({".pt2"})
OPTIONS: Final[Mapping[str, str]] = {
    MODEL_OPTION: "path of the program, if several files could be it",
    "output": "place of the output to read, 0 by default",
    "scores": "what the output holds: probabilities (default), logits or labels",
    SHAPE_OPTION: SHAPE_MEANING,
}


class ExportedPredictor:
    """A loaded program, in inference mode and with one thread."""

    def __init__(self, torch: Any, program: Any, version: Version) -> None:
        self._torch, self._module = torch, program.module()
        self.classes = version.signature.classes
        self._columns = Columns(version.signature)
        self._columns.require_numbers("program")
        self.shape = self._columns.shape
        given = _input(program)
        self._dtype, self._batch_rows = given.dtype, _fixed_rows(given)
        self._row_shape = _row_shape(given, version)
        self._output = int(version.option("output", "0"))
        self._outputs = Outputs(version.signature, version.option("scores", PROBABILITIES, SCORES))

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        if not len(numeric):  # programs are exported for at least one row
            return self._outputs.empty()
        matrix = self._columns.matrix(numeric, categorical)
        return in_batches(len(matrix), self._batch_rows, lambda rows: self._run(matrix[rows]))

    def _run(self, matrix: FloatArray) -> FloatArray:
        given = self._torch.from_numpy(matrix).to(self._dtype).reshape(-1, *self._row_shape)
        with self._torch.inference_mode():
            raw = self._module(given)
        chosen = raw[self._output] if isinstance(raw, tuple | list) else raw
        return self._outputs.of(chosen.numpy())


def check(version: Version) -> None:
    """Inadmissible unless one file can be the program and the options are known."""
    version.require_options(OPTIONS)
    version.model_file(SUFFIXES)
    stated_shape(version)
    if not version.option("output", "0").isdecimal():
        raise Inadmissible("options.output", "is not a place; write 0 for the first output")


def load(version: Version) -> ExportedPredictor:
    """Build the predictor."""
    check(version)
    torch = imported(NAME, "torch")
    torch.set_num_threads(1)
    return ExportedPredictor(torch, torch.export.load(version.model_file(SUFFIXES)), version)


def _input(program: Any) -> Any:
    """The only input, as a tensor without data."""
    names = program.graph_signature.user_inputs
    found = [node.meta["val"] for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    if len(found) != 1:
        raise Inadmissible("program", f"takes {len(found)} tensors; export one that takes all columns in one tensor")
    return found[0]


def _fixed_rows(given: Any) -> int | None:
    rows = given.shape[0]
    if isinstance(rows, int) and rows != 1:
        raise Inadmissible("program", f"takes exactly {rows} rows; export it with a dynamic first dimension")
    return rows if isinstance(rows, int) else None


def _row_shape(given: Any, version: Version) -> tuple[int, ...]:
    if (stated := stated_shape(version)) is not None:
        return stated
    columns = len(version.signature.columns)
    sizes = tuple(given.shape[1:])
    shape = sizes if all(isinstance(size, int) for size in sizes) else (columns,)
    require_fit(shape, columns, "program")
    return shape


def environment() -> dict[str, str]:
    """Versions of the packages that loading needs."""
    return versions_of("numpy", "torch")
