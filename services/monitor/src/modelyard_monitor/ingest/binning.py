"""Columns to bins: the rows of a batch per version and variant, each feature as indexes into its reference's bins."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelyard_contracts import FeatureSlice
from modelyard_contracts.manifest import RESERVED_BINS, FeatureReference, ModelManifest
from modelyard_contracts.signature import ColumnType, Signature
from modelyard_contracts.usable.arrow import fits_signature
from modelyard_monitor.domain.subjects import CLASSES, SCORE, Subject, feature, references_of
from modelyard_monitor.ingest.own_outputs import own_output

RESERVED: Final = len(RESERVED_BINS)
MISSING, NON_FINITE, OTHER = range(RESERVED)
GROUP_BY: Final = ("model", "model_version", "model_digest", "variant")

Positions = NDArray[np.int64]
"""Positions of rows in a group."""
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

    def answered(self) -> "Group":
        """Return the group without failed requests: a retry under the same id would count their features twice."""
        ok = pc.equal(self.rows["status"], "ok")
        return self if pc.all(ok).as_py() else replace(self, rows=self.rows.filter(ok))


@dataclass(frozen=True)
class Column:
    """One feature of a group in bins."""

    subject: Subject
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
            name=self.subject[1],
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
    """Return every subject that has a reference, in bins; rows that break the contract are left out.

    group: answered requests only.
    """
    references = references_of(manifest.reference)
    found = [*_numeric(group, manifest.signature, references), *_categorical(group, manifest.signature, references)]
    if SCORE in references:
        values, positions = _own(group, "score")
        values = values.to_numpy(zero_copy_only=False)
        found.append(number_column(SCORE, values, np.zeros(values.size, dtype=bool), references[SCORE], positions))
    if CLASSES in references:
        classes, positions = _own(group, "class")
        found.append(category_column(CLASSES, classes, references[CLASSES], positions))
    return found


def unusable_rows(group: Group, signature: Signature) -> Positions:
    """Return the positions of answered rows that do not have the signature's number of features.

    Rows of upstreams without a contract, which name their features, are usable; so are rows whose features were left
    out by sampling, which say so.
    """
    bad = ~fits_signature(group.rows, signature).to_numpy()
    if bad.any():
        bad &= np.diff(group.rows["features_by_name"].combine_chunks().offsets.to_numpy()) == 0
        bad &= group.rows["sampled"].to_numpy()
    return np.flatnonzero(bad)


def _own(group: Group, output: str) -> tuple[pa.Array, Positions]:
    """Return the version's own values of an output, without missing ones, and the positions of their rows."""
    values = own_output(group.rows, output)
    positions = np.flatnonzero(pc.is_valid(values).to_numpy(zero_copy_only=False))
    return values.take(pa.array(positions)), positions


def _numeric(group: Group, signature: Signature, references: Mapping[Subject, FeatureReference]) -> Iterator[Column]:
    names = signature.numeric
    if not names:
        return
    matrix, missing, positions = _positional(group.rows["num_features"], len(names))
    more, more_missing, more_positions = _by_name(group.rows, names)
    if more_positions.size:
        matrix, missing = np.concatenate([matrix, more]), np.concatenate([missing, more_missing])
        positions = np.concatenate([positions, more_positions])
    for index, subject in enumerate(map(feature, names)):
        if positions.size and subject in references:
            yield number_column(subject, matrix[:, index], missing[:, index], references[subject], positions)


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
    subject: Subject,
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
    return Column(subject, bins, RESERVED + len(reference.edges) + 1, good, positions)


def _categorical(
    group: Group, signature: Signature, references: Mapping[Subject, FeatureReference]
) -> Iterator[Column]:
    columns = [column for column in signature.columns if not column.type.numeric]
    lists = group.rows["cat_features"].combine_chunks()
    positions = np.flatnonzero(pc.list_value_length(lists).to_numpy() == len(columns))
    if not columns or not positions.size:
        return
    flat = lists.take(pa.array(positions)).flatten()
    for index, column in enumerate(columns):
        subject = feature(column.name)
        if subject in references:
            values = flat.take(pa.array(np.arange(index, len(flat), len(columns))))
            bin_ = length_column if column.type is ColumnType.TEXT else category_column
            yield bin_(subject, values, references[subject], positions)


def category_column(
    subject: Subject, values: pa.Array, reference: FeatureReference, positions: NDArray[np.int64]
) -> Column:
    """Bin strings over the categories of a categorical reference; null is missing, an unknown category is other."""
    categories = pa.array(reference.categories, pa.string())
    found = pc.fill_null(pc.index_in(values, value_set=categories), -1).to_numpy()
    bins = np.where(found >= 0, found + RESERVED, OTHER).astype(np.int64)
    bins[values.is_null().to_numpy(zero_copy_only=False)] = MISSING
    return Column(subject, bins, len(reference.counts), np.empty(0), positions)


def length_column(
    subject: Subject, values: pa.Array, reference: FeatureReference, positions: NDArray[np.int64]
) -> Column:
    """Bin texts by their length in characters; null is missing."""
    missing = values.is_null().to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.utf8_length(values), 0).to_numpy(zero_copy_only=False).astype(np.float64)
    return number_column(subject, lengths, missing, reference, positions)


def table_bins(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map indexes into FeatureReference.counts to bins of the tables: -1 missing, -2 non-finite, -3 other, then 0..."""
    return np.where(bins < RESERVED, -1 - bins, bins - RESERVED)
