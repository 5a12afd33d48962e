"""Rows of the tables feature_bins and reference_bins."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from modelyard_contracts.manifest import FeatureReference, ReferenceProfile
from modelyard_monitor.ingest.binning import SCORE, Column, Group, table_bins

MICROS_PER_MINUTE: Final = 60_000_000

_FEATURE_BINS: Final = pa.schema(
    [
        ("model", pa.string()),
        ("model_version", pa.uint32()),
        ("variant", pa.string()),
        ("feature", pa.string()),
        ("minute", pa.uint32()),
        ("bin", pa.int16()),
        ("n", pa.uint64()),
    ]
)
_REFERENCE_BINS: Final = pa.schema(
    [
        ("feature", pa.string()),
        ("bin", pa.int16()),
        ("n", pa.uint64()),
        ("lower", pa.float64()),
        ("category", pa.string()),
    ]
)


def feature_bins(group: Group, columns: Sequence[Column]) -> pa.Table:
    """Return rows of table feature_bins: counts per feature, minute and bin, without the empty bins."""
    rows: dict[str, list[Any]] = {"feature": [], "minute": [], "bin": [], "n": []}
    minutes = group.rows["occurred_at"].cast(pa.int64()).to_numpy() // MICROS_PER_MINUTE
    known, codes = np.unique(minutes, return_inverse=True)
    for column in columns:
        counts = np.bincount(codes[column.positions] * column.size + column.bins, minlength=known.size * column.size)
        filled = np.flatnonzero(counts)
        rows["feature"].extend([column.name] * filled.size)
        rows["minute"].extend((known[filled // column.size] * 60).tolist())
        rows["bin"].extend(table_bins(filled % column.size).tolist())
        rows["n"].extend(counts[filled].tolist())
    size = len(rows["n"])
    fixed = {"model": [group.model] * size, "model_version": [group.version] * size, "variant": [group.variant] * size}
    return pa.table({**fixed, **rows}, schema=_FEATURE_BINS)


def no_bins() -> pa.Table:
    """Return feature_bins without rows."""
    return _FEATURE_BINS.empty_table()


def reference_bins(model: str, version: int, reference: ReferenceProfile) -> pa.Table:
    """Return rows of table reference_bins."""
    named = [(one.name, one) for one in reference.features]
    if reference.score is not None:
        named.append((SCORE, reference.score))
    rows = [row for name, one in named for row in _reference_rows(name, one)]
    table = pa.Table.from_pylist(rows, schema=_REFERENCE_BINS)
    table = table.append_column("model", pa.array([model] * len(rows), pa.string()))
    return table.append_column("model_version", pa.array([version] * len(rows), pa.uint32()))


def _reference_rows(name: str, one: FeatureReference) -> list[dict[str, Any]]:
    bins = table_bins(np.arange(len(one.counts)))
    return [
        {
            "feature": name,
            "bin": int(bin_),
            "n": count,
            "lower": one.edges[bin_ - 1] if one.edges and bin_ > 0 else None,
            "category": one.categories[bin_] if one.categories and bin_ >= 0 else None,
        }
        for bin_, count in zip(bins, one.counts, strict=True)
    ]
