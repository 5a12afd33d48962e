"""The manifest of a trained version: files, signature, reference profile and lineage."""

import platform
from collections import Counter
from datetime import UTC
from typing import Any

import numpy as np

from modelyard_contracts.manifest import (
    HOLDOUT_FACT,
    LEARNED,
    RESERVED_BINS,
    TARGET_FACT,
    TIME_FACT,
    FeatureReference,
    FileEntry,
    ModelManifest,
    ReferenceProfile,
    TrainingLineage,
)
from modelyard_contracts.signature import new_schema_id
from modelyard_flavours import environment
from modelyard_profiles import (
    dispersed,
    over_dispersion,
    reference_categories,
    reference_numbers,
    spread_over,
    value_dispersion,
)
from modelyard_trainer.worker.inputs import feature_references
from modelyard_trainer.worker.metrics import class_figures, value_figures
from modelyard_trainer.worker.work import FloatArray, Trained, Work


def manifest_of(
    request: dict[str, Any],
    recipe: str,
    digest: str,
    work: Work,
    trained: Trained,
    metrics: dict[str, float],
    files: tuple[FileEntry, ...],
    columns: tuple[str, str],
) -> ModelManifest:
    """Build the manifest of a trained model. columns: target and time column of its dataset."""
    times = work.rows.times if trained.learned_holdout else work.rows.times[: work.split.used]
    learned = {HOLDOUT_FACT: LEARNED} if trained.learned_holdout else {}
    kept = request["signature"] is not None and work.signature.model_dump(mode="json") == request["signature"]
    parameters = {name: _text(value) for name, value in work.parameters} | window_facts(work, trained)
    return ModelManifest(
        model=request["model"],
        task=work.signature.task,
        flavour=trained.flavour,
        files=files,
        signature=work.signature,
        feature_schema_id=request["signature_id"] if kept else new_schema_id(work.signature),
        reference=reference_of(work, trained),
        training=TrainingLineage(
            run_id=request["run_id"],
            recipe=recipe,
            dataset_digest=digest,
            train_from=_moment(times[0]),
            train_until=_moment(times[-1]),
            parameters={**parameters, **trained.facts, **learned, TARGET_FACT: columns[0], TIME_FACT: columns[1]},
            metrics=metrics,
        ),
        environment={"python": platform.python_version(), **environment(trained.flavour)},
    )


def window_facts(work: Work, trained: Trained) -> dict[str, str]:
    """Which rows of its dataset a version learned from, and their weights: enough to fit it again."""
    window = trained.window or work.windows.usual
    stop = work.split.rows if trained.learned_holdout else work.split.used
    found = {
        "window": window.name,
        "window_rows": str(stop - window.first),
        "window_from": _moment(work.rows.times[window.first]).isoformat(),
        "window_until": _moment(work.rows.times[stop - 1]).isoformat(),
    }
    return found if window.half_life_rows is None else {**found, "window_half_life_rows": str(window.half_life_rows)}


def reference_of(work: Work, trained: Trained) -> ReferenceProfile:
    """Inputs of the usual window's rows; outputs and errors of the final model on held-out rows.

    Held-out rows are too few to show the dispersion of outputs. It is taken from the targets, as a calibrated output
    varies in time no more than its target does, and from the inputs: what all of them share (bursts), outputs have too.
    """
    outputs, targets = trained.holdout_outputs, held_out_targets(work)
    features = tuple(feature_references(work))
    shared = min((one.dispersion for one in features if len(one.counts) > len(RESERVED_BINS) + 1), default=1.0)
    if not work.signature.task.classifies:
        return ReferenceProfile(
            rows=len(work.used),
            features=features,
            score=dispersed(
                reference_numbers("score", outputs[:, 0]), max(shared, value_dispersion(work.used.targets))
            ),
            mean_absolute_error=float(np.abs(outputs[:, 0] - targets).mean()),
        )
    predicted, score = outputs.argmax(axis=1), reference_numbers("score", watched_score(outputs))
    dispersion = max(shared, over_dispersion(work.used.targets))
    spread = spread_over(dispersion, len(work.signature.classes), len(score.edges) + 1)
    return ReferenceProfile(
        rows=len(work.used),
        features=features,
        score=dispersed(score, max(shared, spread)),
        classes=dispersed(class_reference(work.signature.classes, predicted), dispersion),
        error_rate=float((predicted != targets).mean()),
    )


def final_metrics(work: Work, trained: Trained) -> dict[str, float]:
    """Metrics of the final model on held-out rows: accuracy and macro F1, or MAE, RMSE and R2."""
    targets = held_out_targets(work)
    if work.signature.task.classifies:
        figures = class_figures(targets, trained.holdout_outputs)
        return {name: round(figures[name], 6) for name in ("accuracy", "macro_f1")}
    return {name: round(value, 6) for name, value in value_figures(targets, trained.holdout_outputs[:, 0]).items()}


def held_out_targets(work: Work) -> Any:
    """Targets of the held-out rows, shape (rows,)."""
    return work.rows.targets[work.split.used :]


def class_reference(classes: tuple[str, ...], predicted: Any) -> FeatureReference:
    """Counts of predicted classes; classes that were never predicted count 0, as long as they fit."""
    counts: dict[str | None, int] = dict.fromkeys(classes, 0)
    counts.update(Counter(classes[place] for place in predicted))
    return reference_categories("class", counts)


def watched_score(scores: FloatArray) -> FloatArray:
    """The number per row that is logged and watched: the last class's score of two, else the largest one."""
    watched: FloatArray = scores[:, 1] if scores.shape[1] == 2 else scores.max(axis=1)
    return watched


def _text(value: object) -> str:
    """A parameter as a request may give it: lists as `a,b`."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _moment(value: np.datetime64) -> Any:
    return value.astype("datetime64[us]").item().replace(tzinfo=UTC)
