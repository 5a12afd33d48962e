"""Two or more versions side by side, and what differs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard import EvaluationRun, VersionInfo
from modelyard_console.domain.formats import recorded, short_digest, words
from modelyard_contracts.manifest import ModelManifest


@dataclass(frozen=True)
class Row:
    """One property of all versions."""

    name: str
    sides: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return len(set(self.sides)) > 1


@dataclass(frozen=True)
class Group:
    """Properties of one kind, those that differ first."""

    title: str
    rows: tuple[Row, ...]


def compare(versions: Sequence[VersionInfo], manifests: Sequence[ModelManifest | None]) -> list[Group]:
    """Groups of properties. A version whose manifest is missing shows dashes."""
    known = [(one.model_dump(mode="json") if one else {}) for one in manifests]
    groups = (
        ("Version", _rows([_head(version) for version in versions])),
        ("Metrics", _rows([version.metrics for version in versions])),
        ("Training data", _rows([_data(one) for one in known])),
        ("Parameters", _rows([_training(one).get("parameters") or {} for one in known])),
        ("Signature", _rows([_signature(one) for one in known])),
        ("Files", _rows([_files(one) for one in known])),
        ("Packages", _rows([one.get("environment") or {} for one in known])),
    )
    return [Group(title, rows) for title, rows in groups if rows]


def _rows(sides: Sequence[Mapping[str, Any]]) -> tuple[Row, ...]:
    names = list(dict.fromkeys(name for side in sides for name in side))
    rows = [Row(name, tuple(recorded(side.get(name)) for side in sides)) for name in names]
    return tuple(sorted(rows, key=lambda row: not row.changed))


def _head(version: VersionInfo) -> dict[str, Any]:
    return {
        "stage": words(version.stage),
        "digest": short_digest(version.digest),
        "flavour": version.flavour,
        "aliases": ", ".join(version.aliases),
        "registered by": version.created_by,
        "registered at": f"{version.created_at:%Y-%m-%d %H:%M} UTC",
    }


def _training(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return dict(manifest.get("training") or {})


def _data(manifest: Mapping[str, Any]) -> dict[str, Any]:
    training = _training(manifest)
    names = {"recipe": "recipe", "dataset_digest": "dataset", "train_from": "rows from", "train_until": "rows until"}
    found = {text: training.get(name) for name, text in names.items() if training}
    if found.get("dataset"):
        found["dataset"] = short_digest(found["dataset"])
    reference = manifest.get("reference")
    return {**found, "reference rows": reference["rows"]} if reference else found


def _signature(manifest: Mapping[str, Any]) -> dict[str, Any]:
    signature = manifest.get("signature")
    if not signature:
        return {}
    output = signature["output"]
    columns = {f"column {column['name']}": column["type"] for column in signature["columns"]}
    return {"task": output["task"], "target": output.get("name"), "classes": output.get("classes"), **columns}


def _files(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {file["path"]: short_digest(file["digest"]) for file in manifest.get("files") or ()}


def measured(evaluations: Iterable[EvaluationRun], versions: Sequence[int]) -> list[EvaluationRun]:
    """Evaluations with a comparison of one of these versions with another one of them, newest first."""
    return [
        one
        for one in evaluations
        if one.challenger_version in versions
        and one.champion is not None
        and one.champion.version in versions
        and one.report is not None
        and one.report.comparison is not None
    ]


def scale_of(intervals: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """A common scale for intervals, symmetric around zero."""
    most = max((abs(end) for interval in intervals for end in interval), default=1.0) or 1.0
    return -1.1 * most, 1.1 * most
