"""Rows of the tables feature_bins and reference_bins."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelyard_contracts import DriftKind
from modelyard_contracts.manifest import FeatureReference, ReferenceProfile
from modelyard_monitor.domain.subjects import Subject, references_of
from modelyard_monitor.ingest.binning import Column, Group, Positions, table_bins

UNUSABLE: Final = "unusable"
"""Kind of the counts of rows that break the signature; they have no feature, and no bin of a reference."""
MICROS_PER_MINUTE: Final = 60_000_000

_FEATURE_BINS: Final = pa.schema(
    [
        ("model", pa.string()),
        ("model_version", pa.uint32()),
        ("model_digest", pa.string()),
        ("variant", pa.string()),
        ("kind", pa.string()),
        ("feature", pa.string()),
        ("minute", pa.uint32()),
        ("bin", pa.int16()),
        ("n", pa.uint64()),
    ]
)
_REFERENCE_BINS: Final = pa.schema(
    [
        ("kind", pa.string()),
        ("feature", pa.string()),
        ("bin", pa.int16()),
        ("n", pa.uint64()),
        ("lower", pa.float64()),
        ("category", pa.string()),
    ]
)


def feature_bins(group: Group, columns: Sequence[Column], unusable: Positions) -> pa.Table:
    """Return rows of table feature_bins: counts per feature, minute and bin, without the empty bins.

    unusable: rows that are in no column; counted per minute under the kind UNUSABLE.
    """
    rows: dict[str, list[Any]] = {"kind": [], "feature": [], "minute": [], "bin": [], "n": []}
    minutes = group.rows["occurred_at"].cast(pa.int64()).to_numpy() // MICROS_PER_MINUTE
    known, codes = np.unique(minutes, return_inverse=True)
    for column in columns:
        counts = np.bincount(codes[column.positions] * column.size + column.bins, minlength=known.size * column.size)
        filled = np.flatnonzero(counts)
        kind, feature = _named(column.subject)
        rows["kind"].extend([kind] * filled.size)
        rows["feature"].extend([feature] * filled.size)
        rows["minute"].extend((known[filled // column.size] * 60).tolist())
        rows["bin"].extend(table_bins(filled % column.size).tolist())
        rows["n"].extend(counts[filled].tolist())
    _add_unusable(rows, known, codes[unusable])
    size = len(rows["n"])
    served = {"model": group.model, "model_version": group.version, "model_digest": group.digest}
    fixed = {name: [value] * size for name, value in {**served, "variant": group.variant}.items()}
    return pa.table({**fixed, **rows}, schema=_FEATURE_BINS)


def _add_unusable(rows: dict[str, list[Any]], known: NDArray[np.int64], codes: NDArray[np.int64]) -> None:
    """Append the counts of unusable rows per minute. known: the minutes; codes: the minute of each row."""
    for code, count in zip(*(part.tolist() for part in np.unique(codes, return_counts=True)), strict=True):
        for name, value in zip(rows, (UNUSABLE, "", int(known[code]) * 60, 0, count), strict=True):
            rows[name].append(value)


def no_bins() -> pa.Table:
    """Return feature_bins without rows."""
    return _FEATURE_BINS.empty_table()


def reference_bins(model: str, version: int, digest: str, profile: ReferenceProfile) -> pa.Table:
    """Return rows of table reference_bins. digest: of the version, as the predictions name it."""
    references = references_of(profile)
    rows = [row for subject, one in references.items() for row in _reference_rows(subject, one)]
    table = pa.Table.from_pylist(rows, schema=_REFERENCE_BINS)
    table = table.append_column("model", pa.array([model] * len(rows), pa.string()))
    table = table.append_column("model_version", pa.array([version] * len(rows), pa.uint32()))
    return table.append_column("model_digest", pa.array([digest] * len(rows), pa.string()))


def _reference_rows(subject: Subject, one: FeatureReference) -> list[dict[str, Any]]:
    bins = table_bins(np.arange(len(one.counts)))
    kind, feature = _named(subject)
    return [
        {
            "kind": kind,
            "feature": feature,
            "bin": int(bin_),
            "n": count,
            "lower": one.edges[bin_ - 1] if one.edges and bin_ > 0 else None,
            "category": one.categories[bin_] if one.categories and bin_ >= 0 else None,
        }
        for bin_, count in zip(bins, one.counts, strict=True)
    ]


def _named(subject: Subject) -> tuple[str, str]:
    """Return kind and feature as the tables hold them; outputs have no feature, so that no name is reserved."""
    kind, name = subject
    return kind.value, name if kind is DriftKind.FEATURE else ""
