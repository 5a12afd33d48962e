"""Columns to integer counts: per (version, variant), feature, minute and bin; and the slice that sums a batch up."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelyard_contracts import FeatureSlice, OffsetRange, SliceSource, SliceSummarised, derived_id
from modelyard_contracts.manifest import RESERVED_BINS, FeatureReference, ModelManifest

RESERVED: Final = len(RESERVED_BINS)
MISSING, NON_FINITE, OTHER = range(RESERVED)
SCORE: Final = "(score)"
"""Name of the score among the features in the tables; no feature is called so by a person."""
MICROS_PER_MINUTE: Final = 60_000_000
GROUP_BY: Final = ("model", "model_version", "model_digest", "variant")


@dataclass(frozen=True)
class Group:
    """The rows of a batch that one version answered under one variant."""

    model: str
    version: int
    digest: str
    variant: str
    rows: pa.Table


@dataclass(frozen=True)
class Column:
    """One feature of a group in bins.

    bins: shape (rows,), index into (missing, non-finite, other, bins...); values: the finite ones, shape (finite,).
    """

    name: str
    bins: NDArray[np.int64]
    size: int
    values: NDArray[np.float64]
    places: NDArray[np.int64]
    """Which rows of the group the bins are of, shape (rows,)."""

    def slice(self) -> FeatureSlice:
        """Counts, and moments unless they are beyond any number: a mean of nought would be a shift."""
        counts = np.bincount(self.bins, minlength=self.size)
        with np.errstate(over="ignore"):
            total, squares = float(self.values.sum()), float(np.square(self.values).sum())
        known = math.isfinite(total) and math.isfinite(squares)
        return FeatureSlice(
            name=self.name,
            counts=tuple(counts.tolist()),
            finite=int(self.values.size) if known else 0,
            total=total if known else 0.0,
            total_squares=squares if known else 0.0,
        )


def groups_of(table: pa.Table) -> Iterator[Group]:
    """The batch split by (model, version, digest, variant), in order of first appearance."""
    codes = np.zeros(table.num_rows, dtype=np.int64)
    for name in GROUP_BY:
        encoded = table[name].combine_chunks().dictionary_encode()
        codes = codes * len(encoded.dictionary) + encoded.indices.to_numpy()
        codes = np.unique(codes, return_inverse=True)[1]
    if not table.num_rows:
        return
    first, sizes = np.unique(codes, return_index=True, return_counts=True)[1:]
    sorted_ = table if first.size == 1 else table.take(pa.array(np.argsort(codes, kind="stable")))
    begins = np.cumsum(sizes) - sizes
    for code in np.argsort(first):
        rows = sorted_.slice(begins[code], sizes[code])
        head = rows.slice(0, 1).to_pylist()[0]
        yield Group(head["model"], head["model_version"], head["model_digest"], head["variant"], rows)


def columns_of(group: Group, manifest: ModelManifest) -> list[Column]:
    """Every feature that has a reference, and the score, in bins; rows that break the contract are left out."""
    if manifest.reference is None:
        return []
    references = {reference.name: reference for reference in manifest.reference.features}
    found = [*_numeric(group, manifest, references), *_categorical(group, manifest, references)]
    if manifest.reference.score is not None:
        ok = pc.and_(pc.equal(group.rows["status"], "ok"), pc.is_valid(group.rows["score"]))
        places = np.flatnonzero(ok.to_numpy(zero_copy_only=False))
        values = group.rows["score"].take(pa.array(places)).to_numpy()
        found.append(_number_column(SCORE, values, np.zeros(values.size, dtype=bool), manifest.reference.score, places))
    return found


def _numeric(group: Group, manifest: ModelManifest, references: dict[str, FeatureReference]) -> Iterator[Column]:
    names = manifest.feature_schema.numeric
    if not names:
        return
    matrix, missing, places = _matrix(group.rows["num_features"], len(names))
    more, more_missing, more_places = _by_name(group.rows, names)
    if more_places.size:
        matrix, missing = np.concatenate([matrix, more]), np.concatenate([missing, more_missing])
        places = np.concatenate([places, more_places])
    for index, name in enumerate(names):
        if places.size and name in references:
            yield _number_column(name, matrix[:, index], missing[:, index], references[name], places)


def _matrix(column: pa.ChunkedArray, width: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """values and missing of shape (rows, width), of the rows that have exactly `width` values."""
    lists = column.combine_chunks()
    lengths = pc.list_value_length(lists).to_numpy()
    places = np.flatnonzero(lengths == width)
    if places.size < lengths.size:
        lists = lists.take(pa.array(places))
    flat = lists.flatten()
    missing = flat.is_null().to_numpy(zero_copy_only=False) if flat.null_count else np.zeros(len(flat), dtype=bool)
    values = flat.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return values.reshape(-1, width), missing.reshape(-1, width), places


def _by_name(rows: pa.Table, names: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """The same from the maps of the other rows, of upstreams without a contract: dearer, one row at a time."""
    column = rows["features_by_name"].combine_chunks()
    others = pc.list_value_length(rows["num_features"]).to_numpy() != len(names)
    places = np.flatnonzero(others & (np.diff(column.offsets.to_numpy()) > 0))
    maps = [dict(row) for row in column.take(pa.array(places)).to_pylist()]
    values = np.array([[row.get(name, np.nan) for name in names] for row in maps], dtype=np.float64)
    missing = np.array([[name not in row for name in names] for row in maps], dtype=bool)
    return values.reshape(-1, len(names)), missing.reshape(-1, len(names)), places


def _number_column(
    name: str, values: NDArray[np.float64], missing: NDArray[np.bool_], ref: FeatureReference, places: NDArray[np.int64]
) -> Column:
    finite = np.isfinite(values) & ~missing
    good = values[finite]
    bins = np.full(values.size, NON_FINITE, dtype=np.int64)
    bins[missing] = MISSING
    bins[finite] = RESERVED + np.searchsorted(np.asarray(ref.edges, dtype=np.float64), good, side="right")
    return Column(name, bins, RESERVED + len(ref.edges) + 1, good, places)


def _categorical(group: Group, manifest: ModelManifest, references: dict[str, FeatureReference]) -> Iterator[Column]:
    names = manifest.feature_schema.categorical
    lists = group.rows["cat_features"].combine_chunks()
    places = np.flatnonzero(pc.list_value_length(lists).to_numpy() == len(names))
    if not names or not places.size:
        return
    flat = lists.take(pa.array(places)).flatten()
    for index, name in enumerate(names):
        if name not in references:
            continue
        categories = references[name].categories
        column = flat.take(pa.array(np.arange(index, len(flat), len(names))))
        found = pc.fill_null(pc.index_in(column, value_set=pa.array(categories, pa.string())), -1).to_numpy()
        bins = np.where(found >= 0, found + RESERVED, OTHER).astype(np.int64)
        bins[column.is_null().to_numpy(zero_copy_only=False)] = MISSING
        yield Column(name, bins, len(references[name].counts), np.empty(0), places)


def bin_rows(group: Group, columns: Sequence[Column]) -> dict[str, list[Any]]:
    """Rows of table feature_bins: only bins that hold something."""
    rows: dict[str, list[Any]] = {"feature": [], "minute": [], "bin": [], "n": []}
    minutes = group.rows["occurred_at"].cast(pa.int64()).to_numpy() // MICROS_PER_MINUTE
    known, codes = np.unique(minutes, return_inverse=True)
    for column in columns:
        counts = np.bincount(codes[column.places] * column.size + column.bins, minlength=known.size * column.size)
        filled = np.flatnonzero(counts)
        rows["feature"].extend([column.name] * filled.size)
        rows["minute"].extend((known[filled // column.size] * 60).tolist())
        rows["bin"].extend(table_bins(filled % column.size).tolist())
        rows["n"].extend(counts[filled].tolist())
    return rows


def table_bins(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places in FeatureReference.counts as bins of the tables: -1 missing, -2 non-finite, -3 other, then from 0."""
    return np.where(places < RESERVED, -1 - places, places - RESERVED)


def summary(group: Group, columns: Sequence[Column], covers: OffsetRange) -> SliceSummarised:
    """What detect needs of these rows. Its id and its moment depend on the rows alone."""
    rows = group.rows
    latency = rows["latency_ms"].to_numpy()
    latency = latency[np.isfinite(latency)]
    score = [column.slice() for column in columns if column.name == SCORE]
    schema_ids = [value for value in rows["feature_schema_id"].unique().to_pylist() if value is not None]
    return SliceSummarised(
        event_id=slice_id(group.model, group.version, group.digest, group.variant, SliceSource.PREDICTIONS, covers),
        occurred_at=moment(pc.max(rows["received_at"])),
        model=group.model,
        model_version=group.version,
        model_digest=group.digest,
        variant=group.variant,
        source=SliceSource.PREDICTIONS,
        covers=covers,
        window_start=moment(pc.min(rows["occurred_at"])),
        window_end=moment(pc.max(rows["occurred_at"])),
        rows=rows.num_rows,
        errors=rows.num_rows - int(pc.sum(pc.equal(rows["status"], "ok")).as_py()),
        latency_ms_total=_finite(latency.sum()),
        latency_ms_max=_finite(latency.max(initial=0.0)),
        feature_schema_id=schema_ids[0] if len(schema_ids) == 1 else None,
        features=tuple(column.slice() for column in columns if column.name != SCORE),
        score=score[0] if score else None,
        class_counts=_class_counts(rows["class"]),
    )


def slice_id(model: str, version: int, digest: str, variant: str, source: SliceSource, covers: OffsetRange) -> Any:
    """Equal for every replay of the same records."""
    where = (covers.topic, covers.partition, covers.first_offset, covers.last_offset)
    return derived_id("slice", model, version, digest, variant, source, *where)


def moment(scalar: pa.Scalar) -> datetime:
    """An Arrow timestamp in UTC as an aware datetime."""
    value: datetime = scalar.as_py()
    return value.astimezone(UTC)


MAX_CLASSES: Final = 100
MAX_CLASS_CHARS: Final = 256


def _class_counts(column: pa.ChunkedArray) -> dict[str, int]:
    short = column.filter(pc.less_equal(pc.utf8_length(column), MAX_CLASS_CHARS))  # and none that is null
    counted = pc.value_counts(short).to_pylist()
    commonest = sorted(counted, key=lambda one: (-one["counts"], one["values"]))[:MAX_CLASSES]
    return {one["values"]: one["counts"] for one in commonest}


def _finite(value: Any) -> float:
    """A sum may overflow to infinity; that must not reach a reader."""
    return float(value) if np.isfinite(value) else 0.0
