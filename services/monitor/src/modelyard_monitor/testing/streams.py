"""Slices of a simulated stream, for tests and simulations of the detectors."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelyard_contracts import FeatureSlice, OffsetRange, SliceSource, SliceSummarised
from modelyard_contracts.manifest import (
    FeatureReference,
    FileEntry,
    ModelManifest,
    ReferenceProfile,
    TrainingLineage,
)
from modelyard_contracts.signature import Column, Output, Signature, Task, new_schema_id
from modelyard_monitor.ingest.slices import slice_id
from modelyard_monitor.testing.samples import START
from modelyard_profiles import count_categories, count_numbers, reference_numbers

SLICE_ROWS: Final = 100
DIGEST: Final = "sha256:" + "0" * 64


def stream_manifest(*names: str, classes: FeatureReference | None = None) -> ModelManifest:
    """A binary classifier of standard normal columns; its scores are standard normal, one answer in five is wrong."""
    rng = np.random.default_rng(0)
    signature = Signature(
        columns=tuple(Column(name=name) for name in names), output=Output(task=Task.BINARY, classes=("0", "1"))
    )
    return ModelManifest(
        model="m",
        task=Task.BINARY,
        flavour="sklearn",
        files=(FileEntry(path="m", digest=DIGEST, size_bytes=1),),
        signature=signature,
        feature_schema_id=new_schema_id(signature),
        reference=ReferenceProfile(
            rows=4_000,
            features=tuple(reference_numbers(name, rng.normal(size=4_000)) for name in names),
            score=reference_numbers("score", rng.normal(size=500)),
            classes=classes,
            error_rate=0.2,
        ),
        training=TrainingLineage(recipe="test"),
    )


@dataclass(frozen=True)
class Rows:
    """Rows of a stream in the order of time. Arrays have the shape (rows,).

    numbers: values of the numeric features by name, NaN where missing. score: the watched score, or the value of a
    regression. classes: predicted classes; None for a regression. errors: 1 wrong and 0 right, or absolute errors; None
    without labels.
    """

    numbers: dict[str, NDArray[np.float64]]
    score: NDArray[np.float64]
    classes: NDArray[np.object_] | None = None
    errors: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class Served:
    """One version that answers a stream. A row takes a second; slices have SLICE_ROWS rows."""

    manifest: ModelManifest
    version: int = 1
    variant: str = "stable"
    label_delay_rows: int = 0

    def slices(self, rows: Rows, first: int = 0) -> Iterator[SliceSummarised]:
        """Yield predictions and, `label_delay_rows` after them, their labels. first: number of the first row."""
        for start in range(0, len(rows) - SLICE_ROWS + 1, SLICE_ROWS):
            yield self.predictions(rows, start, first)
            labelled = start - self.label_delay_rows
            if rows.errors is not None and labelled >= 0:
                yield self.labels(rows.errors[labelled : labelled + SLICE_ROWS], first + labelled)

    def predictions(self, rows: Rows, start: int, first: int = 0) -> SliceSummarised:
        """Return the slice of predictions that starts with row `start`."""
        profile, part = self.manifest.reference, slice(start, start + SLICE_ROWS)
        if profile is None or profile.score is None:
            raise ValueError("the manifest has no reference of scores")
        features = tuple(_numbers(one, rows.numbers[one.name][part]) for one in profile.features)
        classes = None
        if rows.classes is not None and profile.classes is not None:
            counts = count_categories(_counted(rows.classes[part]), profile.classes.categories)
            classes = FeatureSlice(name="classes", counts=tuple(map(int, counts)))
        score = _numbers(profile.score, rows.score[part])
        return self._slice(
            SliceSource.PREDICTIONS, first + start, SLICE_ROWS, features=features, score=score, classes=classes
        )

    def labels(self, errors: NDArray[np.float64], first: int) -> SliceSummarised:
        """Return the slice of labels of the predictions from row `first` on."""
        if self.manifest.task.classifies:
            found: dict[str, Any] = {"outcomes": tuple(int(error) for error in errors)}
        else:
            found = {"absolute_errors": tuple(float(error) for error in errors)}
        return self._slice(SliceSource.LABELS, first, len(errors), **found)

    def _slice(self, source: SliceSource, first: int, rows: int, **fields: Any) -> SliceSummarised:
        covers = OffsetRange(topic=source, partition=0, first_offset=first, last_offset=first + rows - 1)
        model = self.manifest.model
        return SliceSummarised(
            event_id=slice_id(model, self.version, DIGEST, self.variant, source, covers),
            occurred_at=_moment(first + rows),
            model=model,
            model_version=self.version,
            model_digest=DIGEST,
            variant=self.variant,
            source=source,
            covers=covers,
            window_start=_moment(first),
            window_end=_moment(first + rows - 1),
            rows=rows,
            **fields,
        )


def _moment(row: int) -> datetime:
    return START + timedelta(seconds=row)


def _numbers(reference: FeatureReference, values: NDArray[np.float64]) -> FeatureSlice:
    missing = np.isnan(values)
    counts, finite = count_numbers(values, reference.edges, missing), values[np.isfinite(values)]
    return FeatureSlice(
        name=reference.name,
        counts=tuple(map(int, counts)),
        finite=finite.size,
        total=float(finite.sum()),
        total_squares=float((finite**2).sum()),
    )


def _counted(names: NDArray[np.object_]) -> dict[str | None, int]:
    found, counts = np.unique(names.astype(str), return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
