"""joblib's arrays: raw bytes between opcodes, which its unpickler reads right after it has built their description.

Format: joblib.numpy_pickle.NumpyArrayWrapper.read_array (1.6). An array of objects is a pickle stream of its own.
"""

import re
from collections.abc import Mapping
from math import prod
from typing import Final

from modelyard_admission.buffers import Data
from modelyard_admission.errors import Malformed
from modelyard_admission.limits import Budget
from modelyard_admission.pickles.values import Made, Table, Value
from modelyard_admission.pickles.walker import Record, Walker

WRAPPER: Final = "joblib.numpy_pickle.NumpyArrayWrapper"
_WITH_FILES: Final = frozenset(
    {"joblib.numpy_pickle_compat.NDArrayWrapper", "joblib.numpy_pickle_compat.ZNDArrayWrapper"}
)
_TYPE: Final = re.compile(r"([biufcmMSUVO])(\d+)")
_HAS_OBJECTS: Final = 0x01
"""NPY_ITEM_REFCOUNT in the flags of a data type."""


class JoblibArrays:
    """Skips arrays, and walks the streams of arrays of objects; `records` are those streams."""

    def __init__(self, data: Data, budget: Budget) -> None:
        self.data, self.budget = data, budget
        self.records: list[Record] = []
        self.arrays = 0

    def __call__(self, made: Made, at: int) -> int:
        """Position after the array that `made` describes; `at` when it describes none."""
        if any(made.is_of(name) for name in _WITH_FILES):
            raise Malformed("is of joblib 0.9 or older, which keeps arrays in other files")
        if not made.is_of(WRAPPER) and not _creates(made, WRAPPER):
            return at
        self.arrays += 1
        state = made.state.entries if isinstance(made.state, Table) else {}
        size, objects = item_size(state.get("dtype"))
        return self._objects(at) if objects else self._raw(state, at, size)

    def _objects(self, at: int) -> int:
        record = Walker(self.data, at, self.budget, self).run()
        self.records.append(record)
        if record.error is not None:
            raise Malformed(record.error)
        return record.end

    def _raw(self, state: Mapping[str | int, Value], at: int, size: int) -> int:
        if state.get("numpy_array_alignment_bytes") is not None:
            if at >= len(self.data):
                raise Malformed("ends before the padding of an array")
            at += 1 + self.data[at]
        end = at + size * prod(_shape(state.get("shape")))
        if end > len(self.data):
            raise Malformed(f"holds an array that reaches to byte {end}, past the end")
        return end


def _creates(made: Made, name: str) -> bool:
    """True for `object.__new__(name)` as protocols 0 and 1 spell it."""
    given = made.arguments
    return (
        made.is_of("copyreg._reconstructor") and isinstance(given, tuple) and str(getattr(given[0], "full", "")) == name
    )


def _shape(value: Value) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not all(isinstance(size, int) and size >= 0 for size in value):
        raise Malformed("holds an array without a shape")
    return tuple(size for size in value if isinstance(size, int))


def item_size(dtype: Value) -> tuple[int, bool]:
    """(bytes of one item, whether items are Python objects) of a pickled numpy data type."""
    given = dtype.arguments if isinstance(dtype, Made) and dtype.is_of("numpy.dtype") else None
    match = _TYPE.fullmatch(given[0]) if isinstance(given, tuple) and given and isinstance(given[0], str) else None
    if match is None or not isinstance(dtype, Made):
        raise Malformed("holds an array of a data type that is not understood")
    kind, number = match[1], int(match[2])
    state = dtype.state if isinstance(dtype.state, tuple) else ()
    flags = state[7] if len(state) > 7 and isinstance(state[7], int) else 0
    if kind == "V" and len(state) > 5 and isinstance(state[5], int) and state[5] >= 0:
        number = state[5]
    return number * (4 if kind == "U" else 1), kind == "O" or bool(flags & _HAS_OBJECTS)
