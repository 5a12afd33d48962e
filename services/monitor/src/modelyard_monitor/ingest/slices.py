"""Slices: one small summary per batch, version and variant, for the detect worker."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelyard_contracts import OffsetRange, SliceSource, SliceSummarised, derived_id
from modelyard_monitor.domain.subjects import CLASSES, OUTPUTS, SCORE
from modelyard_monitor.ingest.binning import Group
from modelyard_monitor.ingest.counter import Counts

MAX_CLASSES: Final = 100
MAX_CLASS_CHARS: Final = 256

NOT_FAILED: Final = pa.array(["ok", "rejected"])
"""A request that was refused for the caller's own reason (a deadline, a bad value) is no error of the version."""


def prediction_slice(group: Group, counts: Counts, covers: OffsetRange) -> SliceSummarised:
    """Summarise the predictions of one group. Id and moment depend on the rows alone, so a replay repeats them."""
    rows = group.rows
    latency = rows["latency_ms"].to_numpy()
    latency = latency[np.isfinite(latency)]
    slices = {column.subject: column.slice() for column in counts.columns}
    schema_ids = [value for value in rows["feature_schema_id"].unique().to_pylist() if value is not None]
    return SliceSummarised(
        event_id=slice_id(group.model, group.version, group.digest, group.variant, SliceSource.PREDICTIONS, covers),
        occurred_at=_moment(pc.max(rows["received_at"])),
        model=group.model,
        model_version=group.version,
        model_digest=group.digest,
        variant=group.variant,
        source=SliceSource.PREDICTIONS,
        covers=covers,
        window_start=_moment(pc.min(rows["occurred_at"])),
        window_end=_moment(pc.max(rows["occurred_at"])),
        rows=rows.num_rows,
        errors=rows.num_rows - int(pc.sum(pc.is_in(rows["status"], NOT_FAILED)).as_py()),
        latency_ms_total=_finite(latency.sum()),
        latency_ms_max=_finite(latency.max(initial=0.0)),
        feature_schema_id=schema_ids[0] if len(schema_ids) == 1 else None,
        features=tuple(one for subject, one in slices.items() if subject not in OUTPUTS),
        score=slices.get(SCORE),
        classes=slices.get(CLASSES),
        class_counts=_class_counts(rows["class"]),
        unusable_rows=int(counts.unusable.size),
    )


def slice_id(model: str, version: int, digest: str, variant: str, source: SliceSource, covers: OffsetRange) -> UUID:
    """Return an id that is equal for every replay of the same records."""
    where = (covers.topic, covers.partition, covers.first_offset, covers.last_offset)
    return derived_id("slice", model, version, digest, variant, source, *where)


def _moment(scalar: pa.Scalar) -> datetime:
    """Return an Arrow timestamp in UTC as an aware datetime."""
    value: datetime = scalar.as_py()
    return value.astimezone(UTC)


def _class_counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Count the predicted classes: the most frequent ones, without names that are too long for a slice."""
    short = column.filter(pc.less_equal(pc.utf8_length(column), MAX_CLASS_CHARS))  # drops nulls as well
    counted = pc.value_counts(short).to_pylist()
    commonest = sorted(counted, key=lambda one: (-one["counts"], one["values"]))[:MAX_CLASSES]
    return {one["values"]: one["counts"] for one in commonest}


def _finite(value: Any) -> float:
    """Return 0 for a sum that overflowed to infinity."""
    return float(value) if np.isfinite(value) else 0.0
