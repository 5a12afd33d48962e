"""A snapshot as a folder: model files, and the manifest in the bytes that are registered."""

import json
import os
import platform
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelyard_contracts.manifest import (
    LEARNED_ROWS_FACT,
    LEARNER_FACT,
    FeatureReference,
    FileEntry,
    ManifestFile,
    ModelManifest,
    ReferenceProfile,
    TrainingLineage,
)
from modelyard_contracts.signature import ColumnType
from modelyard_flavours import FittedOnline, Predictor, environment, save_model
from modelyard_profiles import reference_categories, reference_numbers, reference_texts
from modelyard_trainer.domain.learners import BASE_FACT
from modelyard_trainer.online.state import LearnerState, arrays_of
from modelyard_trainer.worker.manifest import class_reference, watched_score
from modelyard_trainer.worker.metrics import class_figures, value_figures

RECIPE: Final = "incremental"
FLAVOUR: Final = "online"


def export(
    state: LearnerState, fitted: FittedOnline, before: Predictor | None, target: Path, base_version: int | None = None
) -> None:
    """Write the snapshot to the folder `target`, complete or not at all; a repeat replaces it.

    before: the snapshot before it, whose answers on the newest rows, which it has not learned, give metrics and the
    reference of scores; None for the first snapshot, which has neither. base_version: the trained version whose
    signature it has.
    """
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    manifest = _manifest(state, save_model(FLAVOUR, fitted, part / "model"), before, base_version)
    with (part / "manifest.json").open("wb") as file:
        file.write(ManifestFile.write(manifest).data)
        file.flush()
        os.fsync(file.fileno())
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def _manifest(
    state: LearnerState, files: tuple[FileEntry, ...], before: Predictor | None, base_version: int | None
) -> ModelManifest:
    metrics, reference = quality(state, before)
    return ModelManifest(
        model=state.identity.model,
        task=state.signature.task,
        flavour=FLAVOUR,
        files=files,
        signature=state.signature,
        feature_schema_id=state.identity.signature_id,
        reference=reference,
        training=TrainingLineage(
            recipe=RECIPE,
            train_from=state.newest[0].predicted_at,
            train_until=max(row.predicted_at for row in state.newest),
            parameters={
                LEARNER_FACT: state.identity.kind,
                LEARNED_ROWS_FACT: str(state.learned),
                "left_out_rows": str(state.left_out),
                **({} if base_version is None else {BASE_FACT: str(base_version)}),
                "cursor": json.dumps({str(part): at for part, at in sorted(state.cursor.offsets.items())}),
            },
            metrics=metrics,
        ),
        environment={"python": platform.python_version(), **environment(FLAVOUR)},
    )


def quality(state: LearnerState, before: Predictor | None) -> tuple[dict[str, float], ReferenceProfile]:
    """Metrics and reference profile from the newest rows."""
    numeric, categorical = arrays_of(state.newest, state.signature)
    features = tuple(_features(state, numeric, categorical))
    if before is None:
        return {}, ReferenceProfile(rows=len(numeric), features=features)
    outputs = before.predict(numeric, categorical)
    targets = np.array([row.target for row in state.newest])
    score = outputs[:, 0] if not state.signature.task.classifies else watched_score(outputs)
    profile = ReferenceProfile(rows=len(numeric), features=features, score=reference_numbers("score", score))
    if not state.signature.task.classifies:
        metrics = {**value_figures(targets, outputs[:, 0]), "holdout_rows": float(len(targets))}
        metrics["holdout_baseline_mae"] = float(np.abs(targets - np.median(targets)).mean())
        error = float(np.abs(outputs[:, 0] - targets).mean())
        return _rounded(metrics), profile.model_copy(update={"mean_absolute_error": error})
    figures, predicted = class_figures(targets, outputs), outputs.argmax(axis=1)
    classes = class_reference(state.signature.classes, predicted)
    wrong = float((predicted != targets).mean())
    metrics = {name: figures[name] for name in ("accuracy", "macro_f1")}
    metrics |= {"holdout_rows": float(len(targets)), "holdout_baseline_accuracy": _majority(targets)}
    return _rounded(metrics), profile.model_copy(update={"classes": classes, "error_rate": wrong})


def _majority(targets: Any) -> float:
    """Accuracy of the most frequent class."""
    return float(np.unique(targets, return_counts=True)[1].max() / len(targets))


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in metrics.items() if np.isfinite(value)}


def _features(state: LearnerState, numeric: Any, categorical: Any) -> list[FeatureReference]:
    numbers = {name: numeric[:, place] for place, name in enumerate(state.signature.numeric)}
    strings = {name: categorical[:, place].tolist() for place, name in enumerate(state.signature.categorical)}
    return [
        reference_numbers(column.name, numbers[column.name])
        if column.type.numeric
        else reference_texts(column.name, strings[column.name])
        if column.type is ColumnType.TEXT
        else reference_categories(column.name, Counter(strings[column.name]))
        for column in state.signature.columns
    ]
