"""Keep out of a process's memory what its flavour does not need.

skops and scikit-learn import torch and pandas when they happen to be installed, only to know their types: 270 MiB and
most of the start-up time, in every replica, scorer and worker.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

UNNEEDED: Final = {"sklearn": frozenset({"torch", "pandas", "pyarrow"})}
"""Flavour to packages that are optional for the libraries it uses and useless for predicting from numpy arrays."""


class _Absent:
    """Lets these packages look as if they were not installed."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in self._names:
            raise ModuleNotFoundError(f"{name} is not needed by the flavour and kept out", name=name)


@contextmanager
def without_unneeded(flavour: str) -> Iterator[None]:
    """In the block the flavour's unneeded packages cannot be imported; what was imported before stays."""
    absent = _Absent(UNNEEDED.get(flavour, frozenset()))
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)
