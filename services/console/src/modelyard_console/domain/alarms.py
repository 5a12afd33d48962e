"""One alarm in numbers: its measures, and the two histograms that it compared."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from modelyard_console.domain.charts import Bar, histogram
from modelyard_console.domain.formats import number, percent, signed, words
from modelyard_contracts.manifest import RESERVED_BINS, FeatureReference, ModelManifest

SHARES: Final = frozenset(
    {"error_rate_high", "unusable_rows_high", "labels_do_not_match"}
    | {f"{name}_values_high" for name in ("missing", "non_finite", "unseen")}
)
"""Kinds whose values are shares."""
KINDS: Final = (
    ("performance", "performance"),
    ("feature", "drift of a feature"),
    ("score", "drift of the score"),
    ("classes", "drift of the classes"),
    ("error_rate_high", "failed requests"),
    ("missing_values_high", "missing values"),
    ("unseen_values_high", "unseen values"),
    ("labels_missing", "labels missing"),
    ("labels_do_not_match", "labels do not match"),
    ("unusable_rows_high", "unusable rows"),
)
"""Kinds to choose from, with their words."""


def measured(kind: str, subject: str, detector: str, value: float) -> str:
    """An observed value or its threshold in its unit; of performance by how much the errors rose.

    SD are standard deviations.
    """
    if kind == "performance" and subject == "error_rate":
        return f"{signed(100 * value, 1)} points"
    if kind in SHARES:
        return percent(value)
    if kind == "labels_missing":
        return f"{number(value)} predictions"
    if detector == "adwin" and kind != "performance":
        return f"{number(value, 2)} SD"
    return f"PSI {number(value)}" if detector == "psi" else number(value)


def recommended(recommendation: str) -> str:
    """A recommendation in words; a dash without one."""
    return "no action" if recommendation == "nothing" else words(recommendation) or "–"


def measures(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Further numbers of the evidence, by name."""
    names = (
        ("p_value", "p-value"),
        ("q_value", "p-value over all features"),
        ("reference_rows", "rows of the training data"),
        ("current_rows", "rows of the window"),
        ("rows", "rows of the window"),
        ("dispersion", "usual variation (1: independent rows)"),
    )
    return [(text, number(payload[name])) for name, text in names if isinstance(payload.get(name), int | float)]


def compared(payload: Mapping[str, Any], manifest: ModelManifest | None) -> list[Bar]:
    """The histograms of training data and window in the evidence; empty without counts."""
    reference, current = payload.get("reference_counts") or (), payload.get("current_counts") or ()
    if not current or len(reference) != len(current):
        return []
    labels = bin_labels(payload.get("bin_edges") or (), _categories(payload, manifest), len(current))
    rows = list(zip(labels, reference, current, strict=True))
    regular, reserved = rows[len(RESERVED_BINS) :], rows[: len(RESERVED_BINS)]
    return histogram(regular + [row for row in reserved if row[1] or row[2]])


def bin_labels(edges: Sequence[float], categories: Sequence[str], count: int) -> list[str]:
    """Names of `count` bins, the reserved ones first."""
    reserved = [words(name) for name in RESERVED_BINS]
    bins = count - len(reserved)
    if edges and len(edges) + 1 == bins:
        between = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
        return [*reserved, f"below {edges[0]:.4g}", *between, f"{edges[-1]:.4g} or more"]
    if len(categories) == bins:
        return [*reserved, *categories]
    return [*reserved, *(f"bin {place}" for place in range(1, bins + 1))]


def _categories(payload: Mapping[str, Any], manifest: ModelManifest | None) -> tuple[str, ...]:
    profile = manifest.reference if manifest else None
    if profile is None:
        return ()
    found: FeatureReference | None = None
    if payload.get("kind") == "classes":
        found = profile.classes
    else:
        found = next((one for one in profile.features if one.name == payload.get("subject")), None)
    return found.categories if found else ()
