"""Facts of a skops file: its `schema.json`, and the small arrays that name classes and features."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np

from modelyard_contracts.signature import Task
from modelyard_contracts.usable import label_of
from modelyard_own.facts.known import Facts, task_of_classes
from modelyard_own.files import ModelFile

SCHEMA: Final = "schema.json"
MAX_SCHEMA_BYTES: Final = 64 * 1024 * 1024
MAX_ARRAY_BYTES: Final = 1024 * 1024
_BROKEN: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError, zipfile.BadZipFile)


def facts_of(files: Sequence[ModelFile]) -> Facts:
    """Read classes and feature names of the estimator, or of the last step of a pipeline."""
    for file in files:
        with suppress(*_BROKEN), zipfile.ZipFile(file.source) as archive:
            return _facts(archive, json.loads(_member(archive, SCHEMA, MAX_SCHEMA_BYTES)))
    return Facts()


def _member(archive: zipfile.ZipFile, name: str, limit_bytes: int) -> bytes:
    """The bytes of a member; ValueError if it has more than the limit."""
    with archive.open(name) as member:
        data = member.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ValueError(f"{name} has more than {limit_bytes} bytes")
    return data


def _facts(archive: zipfile.ZipFile, root: Mapping[str, Any]) -> Facts:
    estimators = list(_estimators(root))
    classes = _first(archive, estimators[::-1], "classes_")
    names = tuple(map(str, _first(archive, estimators, "feature_names_in_")))
    count = _feature_count(estimators)
    kind = str(estimators[-1].get("__class__", "")) if estimators else ""
    if not classes:
        return Facts(
            task=Task.REGRESSION if "Regress" in kind else None, features=names, feature_count=count, evidence=kind
        )
    labels = tuple(map(label_of, classes))
    return Facts(task_of_classes(len(labels)), labels, len(labels), names, count, evidence=kind)


def _estimators(root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The estimator and, for a pipeline, its steps in their order."""
    yield root
    state = _state(root)
    steps = state.get("steps", {}).get("content", ()) if isinstance(state.get("steps"), dict) else ()
    for step in steps:
        yield from _estimators(step["content"][1])


def _state(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Attributes of an estimator, each a node."""
    content = node.get("content")
    inner = content.get("content") if isinstance(content, dict) else None
    return inner if isinstance(inner, dict) else {}


def _first(archive: zipfile.ZipFile, estimators: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    for estimator in estimators:
        node = _state(estimator).get(name)
        if isinstance(node, dict) and (values := _values(archive, node)):
            return values
    return []


def _values(archive: zipfile.ZipFile, node: Mapping[str, Any]) -> list[Any]:
    """The values of a one-dimensional array; empty for anything else."""
    if node.get("type") == "numpy":
        array = np.load(io.BytesIO(_member(archive, node["file"], MAX_ARRAY_BYTES)), allow_pickle=False)
        return list(array.tolist()) if array.ndim == 1 else []
    if node.get("type") == "json":
        items = node["content"]["content"] if isinstance(node["content"], dict) else node["content"]
        return [json.loads(item["content"]) for item in items if item.get("__loader__") == "JsonNode"]
    return []


def _feature_count(estimators: Sequence[Mapping[str, Any]]) -> int | None:
    for estimator in estimators:
        node = _state(estimator).get("n_features_in_")
        if isinstance(node, dict):
            return int(json.loads(node["content"]))
    return None
