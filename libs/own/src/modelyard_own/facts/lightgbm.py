"""Facts of a LightGBM model in its text format: the lines before the first tree."""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from modelyard_contracts.signature import Task
from modelyard_own.facts.known import Facts
from modelyard_own.files import ModelFile

HEADER_LINES: Final = 100
MAX_LINE_CHARACTERS: Final = 10_000_000
_CLASSIFIERS: Final = {"binary": Task.BINARY, "multiclass": Task.MULTICLASS, "multiclassova": Task.MULTICLASS}


def facts_of(files: Sequence[ModelFile]) -> Facts:
    """Read objective, features and number of classes."""
    for file in files:
        head = _header(file)
        if "objective" in head and "feature_names" in head:
            return _facts(head)
    return Facts()


def _header(file: ModelFile) -> dict[str, str]:
    with file.source.open(encoding="utf-8", errors="replace") as lines:
        first = [line.rstrip("\r\n") for line in islice(lines, HEADER_LINES)]
    pairs = (line.partition("=") for line in first if not line.startswith("Tree="))
    return {name: value for name, found, value in pairs if found}


def _facts(head: dict[str, str]) -> Facts:
    names = tuple(head["feature_names"].split())
    objective = head["objective"].split()[0] if head["objective"].split() else ""
    task = _CLASSIFIERS.get(objective, Task.REGRESSION)
    generated = all(name == f"Column_{place}" for place, name in enumerate(names))
    return Facts(
        task=task,
        class_count=None if not task.classifies else 2 if task is Task.BINARY else int(head.get("num_class", "0")),
        features=() if generated else names,
        feature_count=len(names),
        evidence=f"objective {objective}",
    )
