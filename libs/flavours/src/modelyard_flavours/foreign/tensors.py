"""Rows as tensors, for models that take arrays instead of named columns."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_flavours.errors import Inadmissible
from modelyard_flavours.version import Version

SHAPE_OPTION: Final = "shape"
SHAPE_MEANING: Final = "dimensions of one row, such as 1x28x28; the columns of the signature fill them in their order"
Array = NDArray[Any]


def stated_shape(version: Version) -> tuple[int, ...] | None:
    """The option `shape`; Inadmissible if it does not hold as many numbers as the signature has columns."""
    text = version.option(SHAPE_OPTION, "")
    if not text:
        return None
    try:
        shape = tuple(int(part) for part in text.split("x"))
    except ValueError as error:
        raise Inadmissible(f"options.{SHAPE_OPTION}", f"is {text!r}; write it as 1x28x28") from error
    require_fit(shape, len(version.signature.columns), f"options.{SHAPE_OPTION}")
    return shape


def require_fit(shape: Sequence[int], columns: int, where: str) -> None:
    """Inadmissible unless one row of this shape has a number per column."""
    if int(np.prod(shape)) != columns:
        raise Inadmissible(
            where, f"{'x'.join(map(str, shape))} has {int(np.prod(shape))} numbers; there are {columns} columns"
        )


def in_batches(rows: int, size: int | None, run: Callable[[slice], Array]) -> Array:
    """Run a model that takes `size` rows at a time, None for any number, and join what it returns."""
    if size is None or rows <= size:
        return run(slice(0, rows))
    return np.concatenate([run(slice(start, start + size)) for start in range(0, rows, size)])
