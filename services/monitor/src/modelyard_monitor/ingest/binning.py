"""Columns to bins: the rows of a batch per version and variant, each feature as indexes into its reference's bins."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelyard_contracts import FeatureSlice
from modelyard_contracts.manifest import RESERVED_BINS, FeatureReference, ModelManifest

RESERVED: Final = len(RESERVED_BINS)
MISSING, NON_FINITE, OTHER = range(RESERVED)
SCORE: Final = "(score)"
"""Name of the score among the features in tables and slices."""
GROUP_BY: Final = ("model", "model_version", "model_digest", "variant")

Matrix = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]
"""values and missing of shape (rows, features); positions of these rows in the group."""


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
    """One feature of a group in bins."""

    name: str
    bins: NDArray[np.int64]
    """Shape (rows,): index into (missing, non-finite, other, bins...)."""
    size: int
    """Number of bins, reserved ones included."""
    values: NDArray[np.float64]
    """The finite values, shape (finite,)."""
    positions: NDArray[np.int64]
    """Positions of the rows in the group, shape (rows,)."""

    def slice(self) -> FeatureSlice:
        """Return counts and moments; moments that overflow are left out, as a mean of 0 would look like a shift."""
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
    """Split a batch by (model, version, digest, variant), in order of first appearance."""
    if not table.num_rows:
        return
    first, sizes, order = _sorted_by_group(table)
    sorted_ = table if order is None else table.take(pa.array(order))
    begins = np.cumsum(sizes) - sizes
    for code in np.argsort(first):
        rows = sorted_.slice(begins[code], sizes[code])
        head = rows.slice(0, 1).to_pylist()[0]
        yield Group(head["model"], head["model_version"], head["model_digest"], head["variant"], rows)


def _sorted_by_group(table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64] | None]:
    """Return first position and size per group, and the order that sorts the rows; None when there is one group."""
    codes = np.zeros(table.num_rows, dtype=np.int64)
    for name in GROUP_BY:
        encoded = table[name].combine_chunks().dictionary_encode()
        codes = codes * len(encoded.dictionary) + encoded.indices.to_numpy()
        codes = np.unique(codes, return_inverse=True)[1]
    first, sizes = np.unique(codes, return_index=True, return_counts=True)[1:]
    return first, sizes, None if first.size == 1 else np.argsort(codes, kind="stable")


def columns_of(group: Group, manifest: ModelManifest) -> list[Column]:
    """Return every feature that has a reference, and the score, in bins; rows that break the contract are left out."""
    if manifest.reference is None:
        return []
    references = {reference.name: reference for reference in manifest.reference.features}
    found = [*_numeric(group, manifest, references), *_categorical(group, manifest, references)]
    if manifest.reference.score is not None:
        found.append(_score(group, manifest.reference.score))
    return found


def _score(group: Group, reference: FeatureReference) -> Column:
    answered = pc.and_(pc.equal(group.rows["status"], "ok"), pc.is_valid(group.rows["score"]))
    positions = np.flatnonzero(answered.to_numpy(zero_copy_only=False))
    values = group.rows["score"].take(pa.array(positions)).to_numpy()
    return number_column(SCORE, values, np.zeros(values.size, dtype=bool), reference, positions)


def _numeric(group: Group, manifest: ModelManifest, references: dict[str, FeatureReference]) -> Iterator[Column]:
    names = manifest.feature_schema.numeric
    if not names:
        return
    matrix, missing, positions = _positional(group.rows["num_features"], len(names))
    more, more_missing, more_positions = _by_name(group.rows, names)
    if more_positions.size:
        matrix, missing = np.concatenate([matrix, more]), np.concatenate([missing, more_missing])
        positions = np.concatenate([positions, more_positions])
    for index, name in enumerate(names):
        if positions.size and name in references:
            yield number_column(name, matrix[:, index], missing[:, index], references[name], positions)


def _positional(column: pa.ChunkedArray, width: int) -> Matrix:
    """Return the rows that have exactly `width` values."""
    lists = column.combine_chunks()
    lengths = pc.list_value_length(lists).to_numpy()
    positions = np.flatnonzero(lengths == width)
    if positions.size < lengths.size:
        lists = lists.take(pa.array(positions))
    flat = lists.flatten()
    missing = flat.is_null().to_numpy(zero_copy_only=False) if flat.null_count else np.zeros(len(flat), dtype=bool)
    values = flat.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return values.reshape(-1, width), missing.reshape(-1, width), positions


def _by_name(rows: pa.Table, names: Sequence[str]) -> Matrix:
    """Return the other rows from their maps: upstreams without a contract. Slower, as it works row by row."""
    column = rows["features_by_name"].combine_chunks()
    others = pc.list_value_length(rows["num_features"]).to_numpy() != len(names)
    positions = np.flatnonzero(others & (np.diff(column.offsets.to_numpy()) > 0))
    maps = [dict(row) for row in column.take(pa.array(positions)).to_pylist()]
    values = np.array([[row.get(name, np.nan) for name in names] for row in maps], dtype=np.float64)
    missing = np.array([[name not in row for name in names] for row in maps], dtype=bool)
    return values.reshape(-1, len(names)), missing.reshape(-1, len(names)), positions


def number_column(
    name: str,
    values: NDArray[np.float64],
    missing: NDArray[np.bool_],
    reference: FeatureReference,
    positions: NDArray[np.int64],
) -> Column:
    """Bin numbers over the edges of a numeric reference."""
    finite = np.isfinite(values) & ~missing
    good = values[finite]
    bins = np.full(values.size, NON_FINITE, dtype=np.int64)
    bins[missing] = MISSING
    bins[finite] = RESERVED + np.searchsorted(np.asarray(reference.edges, dtype=np.float64), good, side="right")
    return Column(name, bins, RESERVED + len(reference.edges) + 1, good, positions)


def _categorical(group: Group, manifest: ModelManifest, references: dict[str, FeatureReference]) -> Iterator[Column]:
    names = manifest.feature_schema.categorical
    lists = group.rows["cat_features"].combine_chunks()
    positions = np.flatnonzero(pc.list_value_length(lists).to_numpy() == len(names))
    if not names or not positions.size:
        return
    flat = lists.take(pa.array(positions)).flatten()
    for index, name in enumerate(names):
        if name in references:
            values = flat.take(pa.array(np.arange(index, len(flat), len(names))))
            yield category_column(name, values, references[name], positions)


def category_column(name: str, values: pa.Array, reference: FeatureReference, positions: NDArray[np.int64]) -> Column:
    """Bin strings over the categories of a categorical reference; null is missing, an unknown category is other."""
    categories = pa.array(reference.categories, pa.string())
    found = pc.fill_null(pc.index_in(values, value_set=categories), -1).to_numpy()
    bins = np.where(found >= 0, found + RESERVED, OTHER).astype(np.int64)
    bins[values.is_null().to_numpy(zero_copy_only=False)] = MISSING
    return Column(name, bins, len(reference.counts), np.empty(0), positions)


def table_bins(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map indexes into FeatureReference.counts to bins of the tables: -1 missing, -2 non-finite, -3 other, then 0..."""
    return np.where(bins < RESERVED, -1 - bins, bins - RESERVED)
