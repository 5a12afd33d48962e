"""Two versions of models compared: files, tensors, signature, metrics, data, environment."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from modelyard_contracts.admission import TensorDigest
from modelyard_contracts.comparison import ColumnChange, FileChange, ValueChange, VersionDiff, VersionName
from modelyard_contracts.manifest import FileEntry, ModelManifest
from modelyard_contracts.signature import Column, Signature
from modelyard_registry.domain.tensors import compare

MAX_FILES: Final = 1_000
"""Changed files in an answer."""
Value = str | float | None


@dataclass(frozen=True)
class Side:
    """One of the two versions."""

    name: VersionName
    manifest: ModelManifest
    tensors: Sequence[TensorDigest]
    prose: Mapping[str, str]
    """Section of the card to its text."""


def diff(before: Side, after: Side) -> VersionDiff:
    """Return everything that differs. Pure; the sides may belong to two models."""
    old, new = before.manifest, after.manifest
    files = file_changes(old.files, new.files)
    return VersionDiff(
        before=before.name,
        after=after.name,
        files=files[:MAX_FILES],
        identical_files=len({entry.path: entry for entry in new.files}.items() & _by_path(old.files).items()),
        tensors=compare(before.tensors, after.tensors),
        card=tuple(difflib.unified_diff(_lines(before.prose), _lines(after.prose), "before", "after", lineterm="")),
        metrics=changes(old.training.metrics, new.training.metrics),
        data=changes(_data(old), _data(new)),
        columns=column_changes(old.signature.columns, new.signature.columns),
        output=changes(_output(old.signature), _output(new.signature)),
        classes_added=tuple(one for one in new.signature.classes if one not in old.signature.classes),
        classes_removed=tuple(one for one in old.signature.classes if one not in new.signature.classes),
        environment=changes(old.environment, new.environment),
        options=changes(old.options, new.options),
        parameters=changes(_making(old), _making(new)),
    )


def file_changes(before: Sequence[FileEntry], after: Sequence[FileEntry]) -> tuple[FileChange, ...]:
    """Return the files that were added, removed or have other bytes, by path."""
    old, new = _by_path(before), _by_path(after)
    found = []
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was is None and now is not None:
            found.append(FileChange(path=path, change="added", bytes_after=now.size_bytes))
        elif now is None and was is not None:
            found.append(FileChange(path=path, change="removed", bytes_before=was.size_bytes))
        elif was is not None and now is not None and was.digest != now.digest:
            sizes = {"bytes_before": was.size_bytes, "bytes_after": now.size_bytes}
            found.append(FileChange(path=path, change="changed", **sizes))
    return tuple(found)


def column_changes(before: Sequence[Column], after: Sequence[Column]) -> tuple[ColumnChange, ...]:
    """Return the columns that were added, removed or have other properties, in the order of the newer signature."""
    old, new = ({column.name: _words(column) for column in side} for side in (before, after))
    found = []
    for name in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(name), new.get(name)
        if was != now:
            change = "added" if was is None else "removed" if now is None else "changed"
            found.append(ColumnChange(name=name, change=change, before=was, after=now))
    return tuple(found)


def changes(before: Mapping[str, Value], after: Mapping[str, Value]) -> tuple[ValueChange, ...]:
    """Return the values that differ, by name."""
    return tuple(
        ValueChange(name=name, before=before.get(name), after=after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def _by_path(files: Sequence[FileEntry]) -> dict[str, FileEntry]:
    return {entry.path: entry for entry in files}


def _words(column: Column) -> str:
    words = [column.type.value]
    words += ["may be missing"] if column.nullable else ["required"]
    words += [f"in {column.unit}"] if column.unit else []
    words += [f"at most {column.max_length} characters"] if column.max_length else []
    return ", ".join(words)


def _output(signature: Signature) -> dict[str, Value]:
    output = signature.output
    return {"input": signature.input, "task": output.task.value, "name": output.name, "unit": output.unit}


def _data(manifest: ModelManifest) -> dict[str, Value]:
    training, source = manifest.training, manifest.source
    return {
        "dataset_digest": training.dataset_digest,
        "train_from": training.train_from.isoformat() if training.train_from else None,
        "train_until": training.train_until.isoformat() if training.train_until else None,
        "training_data": source.training_data if source else None,
    }


def _making(manifest: ModelManifest) -> dict[str, Value]:
    """How a version was made and is loaded."""
    source = manifest.source
    facts: dict[str, Value] = {**manifest.training.parameters, "flavour": manifest.flavour}
    facts |= {"recipe": manifest.training.recipe, "run_id": manifest.training.run_id}
    if source is not None:
        facts |= {"framework": source.framework, "license": source.license, "base_model": source.base_model}
    return facts


def _lines(prose: Mapping[str, str]) -> list[str]:
    return [line for name, text in sorted(prose.items()) if text for line in (f"## {name}", *text.splitlines())]
