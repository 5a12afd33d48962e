"""What a version says of itself: its files, its inputs, how its training data looked, and where it comes from."""

import platform
from collections import Counter
from typing import Any

import numpy as np

from modelyard_contracts.manifest import (
    FeatureReference,
    FileEntry,
    ModelManifest,
    ReferenceProfile,
    TrainingLineage,
    signed,
)
from modelyard_flavours import environment
from modelyard_profiles import reference_categories, reference_numbers
from modelyard_trainer.worker.work import FloatArray, Rows, Trained, Work


def manifest_of(
    request: dict[str, Any], digest: str, work: Work, trained: Trained, files: tuple[FileEntry, ...]
) -> ModelManifest:
    """The manifest of a trained model."""
    times = work.used.times
    return ModelManifest(
        model=request["model"],
        flavour=trained.flavour,
        files=files,
        **signed(work.schema),
        reference=reference_of(work, trained),
        training=TrainingLineage(
            run_id=request["run_id"],
            recipe=request["recipe"],
            dataset_digest=digest,
            train_from=_moment(times[0]),
            train_until=_moment(times[-1]),
            parameters={**{name: str(value) for name, value in work.parameters}, **trained.facts},
            metrics=trained.metrics,
        ),
        environment={"python": platform.python_version(), **environment(trained.flavour)},
    )


def reference_of(work: Work, trained: Trained) -> ReferenceProfile:
    """Features of all rows that were learned from; score and error rate of rows that were not fitted on."""
    used, scores = work.used, trained.validation_scores
    wrong = scores.argmax(axis=1) != work.validation.labels
    return ReferenceProfile(
        rows=len(used),
        features=tuple(_features(used, work)),
        score=reference_numbers("score", watched_score(scores)),
        error_rate=float(wrong.mean()),
    )


def watched_score(scores: FloatArray) -> FloatArray:
    """The one number per row that is logged and watched: of two classes the last one's score, else the greatest."""
    watched: FloatArray = scores[:, 1] if scores.shape[1] == 2 else scores.max(axis=1)
    return watched


def _features(rows: Rows, work: Work) -> list[FeatureReference]:
    numbers = {name: rows.numeric[:, place] for place, name in enumerate(work.schema.numeric)}
    categories = {name: rows.categorical[:, place] for place, name in enumerate(work.schema.categorical)}
    return [
        reference_numbers(feature.name, numbers[feature.name])
        if feature.name in numbers
        else reference_categories(feature.name, Counter(categories[feature.name].tolist()))
        for feature in work.schema.features
    ]


def _moment(value: np.datetime64) -> Any:
    from datetime import UTC

    return value.astype("datetime64[us]").item().replace(tzinfo=UTC)
