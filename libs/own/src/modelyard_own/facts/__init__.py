"""What the files of a model tell about it: task, classes and features. Nothing of them is loaded or run."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from modelyard_own.facts import lightgbm, onnx, skops, transformers, xgboost
from modelyard_own.facts.known import Facts
from modelyard_own.files import ModelFile

_READERS: Final[Mapping[str, Callable[[Sequence[ModelFile]], Facts]]] = {
    "xgboost": xgboost.facts_of,
    "lightgbm": lightgbm.facts_of,
    "onnx": onnx.facts_of,
    "skops": skops.facts_of,
    "transformers": transformers.facts_of,
}

__all__ = ["Facts", "facts_of"]


def facts_of(flavour: str, files: Sequence[ModelFile]) -> Facts:
    """Return what the files state; an unreadable file states nothing, and the scan reports what is wrong with it."""
    reader = _READERS.get(flavour)
    return reader(files) if reader else Facts()
