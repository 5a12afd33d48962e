"""Keep packages that a flavour does not need out of the process.

skops and scikit-learn import torch and pandas when they happen to be installed, only to know their types: 270 MiB and
most of the start-up time, in every replica, scorer and worker. Boosted trees import them for their wrappers: without,
xgboost and lightgbm take 0.55 s of CPU and 75 MiB instead of 3 s and 200 MiB.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_WRAPPERS: Final = frozenset({"torch", "pandas", "pyarrow", "sklearn", "matplotlib", "dask"})
UNNEEDED: Final = {
    "sklearn": frozenset({"torch", "pandas", "pyarrow"}),
    "skops": frozenset({"torch"}),
    "xgboost": _WRAPPERS,
    "lightgbm": _WRAPPERS,
}
"""Flavour to packages that its libraries import optionally and that prediction from numpy arrays does not need."""


class _Absent:
    """Makes these packages appear as not installed."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in self._names:
            raise ModuleNotFoundError(f"{name} is not needed by the flavour and kept out", name=name)


@contextmanager
def without_unneeded(flavour: str) -> Iterator[None]:
    """Within the block the flavour's unneeded packages cannot be imported; earlier imports stay."""
    absent = _Absent(UNNEEDED.get(flavour, frozenset()))
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)
