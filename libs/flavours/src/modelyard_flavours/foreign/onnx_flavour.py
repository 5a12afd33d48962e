"""Flavour `onnx`: an ONNX graph on the CPU with one thread.

Inputs are either one tensor that takes all columns in the order of the signature (a matrix, or an image as numbers), or
one input per column, by name, as skl2onnx makes them. Outputs are probabilities as a tensor or as `zipmap`, log-odds,
labels, or a value. Weights in further files must be files of the version.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from modelyard_contracts.manifest import MODEL_OPTION
from modelyard_contracts.signature import Task
from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.foreign.columns import Columns
from modelyard_flavours.foreign.outputs import LABELS, PROBABILITIES, SCORES, Outputs
from modelyard_flavours.foreign.tensors import SHAPE_MEANING, SHAPE_OPTION, Array, in_batches, require_fit, stated_shape
from modelyard_flavours.predictor import FloatArray, ObjectArray
from modelyard_flavours.version import Version, imported, versions_of

NAME: Final = "onnx"
SUFFIXES: Final = frozenset({".onnx"})
OPTIONS: Final[Mapping[str, str]] = {
    MODEL_OPTION: "path of the graph, if several files could be it",
    "input": "name of the input, if the graph has others with defaults",
    "output": "name of the output to read; by default the one with probabilities, or the only one",
    "scores": "what the output holds: probabilities (default), logits or labels",
    SHAPE_OPTION: SHAPE_MEANING,
}
_TYPES: Final = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
_TEXT: Final = "tensor(string)"
_LABELS: Final = (_TEXT, "tensor(int64)", "tensor(int32)")
PROBE_ROWS: Final = 32
TIE: Final = 1e-4
"""Scores this close may be ordered differently in the label."""
Feed = Callable[[FloatArray, ObjectArray], dict[str, Array]]


class OnnxPredictor:
    """A session with one thread."""

    def __init__(self, session: Any, version: Version) -> None:
        self.classes = version.signature.classes
        self._session, self._columns = session, Columns(version.signature)
        self.shape = self._columns.shape
        inputs = _inputs(session, version)
        self._feed = _feed(inputs, self._columns, version)
        first = inputs[0].shape[0] if inputs[0].shape else None
        self._batch_rows = first if isinstance(first, int) else None
        self._output, kind = _output(session, version)
        self._mapped = kind.startswith("seq(map")
        self._label = _label_output(session, version, self._output)
        labels = kind in _LABELS and version.signature.task.classifies
        self._outputs = Outputs(
            version.signature, LABELS if labels else version.option("scores", PROBABILITIES, SCORES)
        )

    def predict(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        if not len(numeric):  # fixed batch sizes and some operators refuse an empty tensor
            return self._outputs.empty()
        return in_batches(len(numeric), self._batch_rows, lambda rows: self._run(numeric[rows], categorical[rows]))

    def require_class_order(self) -> None:
        """Inadmissible if the graph's own label is another class than that of the highest score, on some odd rows.

        A tensor of probabilities does not name its columns, and exporters order them by the alphabet.
        """
        if self._label is None or self._mapped:
            return
        numeric = np.random.default_rng(0).normal(scale=3.0, size=(PROBE_ROWS, self.shape[0]))
        texts = np.full((PROBE_ROWS, self.shape[1]), "", dtype=object)
        for row in range(PROBE_ROWS):
            rows = slice(row, row + 1)
            raw, [label] = self._session.run([self._output, self._label], self._feed(numeric[rows], texts[rows]))
            self._require_same(self._outputs.of(raw)[0], label)

    def _require_same(self, scores: FloatArray, label: Any) -> None:
        best = int(scores.argmax())
        if scores[self._outputs.place_of(label)] < scores[best] - TIE:
            raise Inadmissible(
                "graph",
                f"answers {label!r} where the score of {self.classes[best]!r} is the highest; list the classes of the "
                "signature in the order of the graph's scores",
            )

    def _run(self, numeric: FloatArray, categorical: ObjectArray) -> FloatArray:
        [raw] = self._session.run([self._output], self._feed(numeric, categorical))
        return self._outputs.of_mappings(raw) if self._mapped else self._outputs.of(raw)


def check(version: Version) -> None:
    """Inadmissible unless one file can be the graph and the options are known."""
    version.require_options(OPTIONS)
    version.model_file(SUFFIXES)
    stated_shape(version)


def load(version: Version) -> OnnxPredictor:
    """Build the predictor."""
    check(version)
    library = imported(NAME, "onnxruntime")
    options = library.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    file = version.model_file(SUFFIXES)
    session = library.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    predictor = OnnxPredictor(session, version)
    predictor.require_class_order()
    return predictor


def _inputs(session: Any, version: Version) -> list[Any]:
    """The one that takes all columns, or one per column."""
    found = list(session.get_inputs())
    if name := version.option("input", ""):
        found = [one for one in found if one.name == name]
        if not found:
            raise Inadmissible("options.input", f"the graph has no input {name!r}")
    names = {column.name for column in version.signature.columns}
    if len(found) != 1 and {one.name for one in found} != names:
        listed = ", ".join(one.name for one in found[:10])
        raise Inadmissible(
            "graph", f"has the inputs {listed}; give them the names of the columns, or choose one as `input`"
        )
    return found


def _feed(inputs: list[Any], columns: Columns, version: Version) -> Feed:
    if len(inputs) == 1 and not (inputs[0].name in columns.names and len(columns.names) == 1):
        return _one_tensor(inputs[0], columns, version)
    readers = {one.name: _reader(one, columns) for one in inputs}
    return lambda numeric, categorical: {name: read(numeric, categorical) for name, read in readers.items()}


def _one_tensor(given: Any, columns: Columns, version: Version) -> Feed:
    """All columns in one tensor of numbers, or of texts if all columns are texts."""
    kind, shape = given.type, _row_shape(given, columns, version)
    if kind == _TEXT and len(columns.texts) == len(columns.names):
        return lambda numeric, categorical: {given.name: _texts(categorical).reshape(-1, *shape)}
    columns.require_numbers(given.name)
    dtype = _dtype(given)
    return lambda numeric, categorical: {
        given.name: _cast(columns.matrix(numeric, categorical), dtype, given.name).reshape(-1, *shape)
    }


def _row_shape(given: Any, columns: Columns, version: Version) -> tuple[int, ...]:
    if (stated := stated_shape(version)) is not None:
        return stated
    sizes = given.shape[1:]
    shape = tuple(sizes) if all(isinstance(size, int) for size in sizes) else (len(columns.names),)
    require_fit(shape, len(columns.names), f"input {given.name}")
    return shape


def _reader(given: Any, columns: Columns) -> Callable[[FloatArray, ObjectArray], Array]:
    """One column as a tensor of shape (rows, 1), or (rows,) for an input of one dimension."""
    place, shape = columns.names.index(given.name), (-1, 1)[: len(given.shape)]
    if columns.is_text(place) is not (given.type == _TEXT):
        raise Inadmissible(given.name, f"is {given.type} in the graph, which does not fit the column's type")
    if given.type == _TEXT:
        return lambda numeric, categorical: _texts(columns.column(place, numeric, categorical)).reshape(shape)
    dtype = _dtype(given)
    return lambda numeric, categorical: _cast(columns.column(place, numeric, categorical), dtype, given.name).reshape(
        shape
    )


def _dtype(given: Any) -> Any:
    if given.type not in _TYPES:
        raise Inadmissible(given.name, f"has the type {given.type}; known are {', '.join(_TYPES)} and {_TEXT}")
    return _TYPES[given.type]


def _cast(values: FloatArray, dtype: Any, name: str) -> Array:
    """ValueError for a missing value where the graph takes whole numbers."""
    if not np.issubdtype(dtype, np.floating) and np.isnan(values).any():
        raise ValueError(f"{name}: a value is missing, and the graph takes {np.dtype(dtype).name} there")
    return values.astype(dtype)


def _texts(values: ObjectArray) -> ObjectArray:
    """ONNX has no missing text: it becomes the empty one."""
    return np.where(values == None, "", values).astype(object)  # noqa: E711  compared element by element


def _output(session: Any, version: Version) -> tuple[str, str]:
    """Name and type of the output to read."""
    found = {one.name: one.type for one in session.get_outputs()}
    name = version.option("output", "") or _usual_output(found, version.signature.task)
    if name not in found:
        raise Inadmissible("options.output", f"the graph has no output {name!r}; it has {', '.join(found)}")
    return name, found[name]


def _label_output(session: Any, version: Version, output: str) -> str | None:
    """The only other output of a classifier, if it holds one label per row."""
    others = [one for one in session.get_outputs() if one.name != output]
    holds = version.signature.task.classifies and len(others) == 1 and others[0].type in _LABELS
    return others[0].name if holds and len(others[0].shape) == 1 else None


def _usual_output(found: Mapping[str, str], task: Task) -> str:
    """The only one; of a classifier with several, the last that holds numbers per class."""
    scores = [
        name
        for name, kind in found.items()
        if kind.startswith("seq(map") or kind in ("tensor(float)", "tensor(double)")
    ]
    if len(found) == 1:
        return next(iter(found))
    if task.classifies and len(scores) == 1:
        return scores[0]
    raise Inadmissible("graph", f"has the outputs {', '.join(found)}; name the one to read in the option `output`")


def environment() -> dict[str, str]:
    """Versions of the packages that loading needs."""
    return versions_of("numpy", "onnxruntime")
