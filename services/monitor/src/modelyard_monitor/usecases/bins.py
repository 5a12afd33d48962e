"""PSI over time, and histograms of features and outputs."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from modelyard_contracts import DriftKind
from modelyard_monitor.domain.bins import Histogram, Histograms, StabilityBucket, StabilityOverTime, histogram_bins
from modelyard_monitor.domain.ports import BinRows, Row
from modelyard_monitor.domain.psi import population_stability
from modelyard_monitor.domain.traffic import bucket_length_s
from modelyard_runtime.clock import Clock

WHOLE_S: Final = 2**32 - 1
"""An interval that holds every moment."""
Subject = tuple[int, str, str, str]
"""(version, digest, kind, feature)"""


class Bins:
    """Every method blocks; Retryable while the database is away."""

    def __init__(self, rows: BinRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    def psi_over_time(
        self, model: str, since: datetime, bucket_s: int, version: int | None, feature: str | None
    ) -> StabilityOverTime:
        """Return PSI by interval, version, variant and feature. feature: '' for score and classes."""
        length_s = bucket_length_s(since, self._clock(), bucket_s)
        references = _grouped(self._rows.references(model, version, feature))
        groups = _counted(self._rows.counts(model, since, length_s, version, feature))
        items = [
            _stability(at_s, variant, subject, references[subject], current)
            for (at_s, variant, subject), current in groups.items()
            if subject in references and any(current.get(row["bin"]) for row in references[subject])
        ]
        return StabilityOverTime(model=model, bucket_s=length_s, items=tuple(items))

    def histograms(
        self, model: str, window_s: int, version: int | None, feature: str | None, variant: str, kind: DriftKind | None
    ) -> Histograms:
        """Return counts over the last `window_s` seconds. variant: '' for all."""
        since = self._clock() - timedelta(seconds=window_s)
        references = _grouped(self._rows.references(model, version, feature))
        groups = _counted(self._rows.counts(model, since, WHOLE_S, version, feature))
        items = [
            _histogram(found, subject, references[subject], current)
            for (_, found, subject), current in groups.items()
            if subject in references and variant in ("", found) and kind in (None, subject[2])
        ]
        return Histograms(model=model, window_s=window_s, items=tuple(items))


def _subject(row: Row) -> Subject:
    return row["version"], row["digest"], row["kind"], row["feature"]


def _grouped(rows: Iterable[Row]) -> dict[Subject, list[Row]]:
    groups: dict[Subject, list[Row]] = {}
    for row in rows:
        groups.setdefault(_subject(row), []).append(row)
    return groups


def _counted(rows: Iterable[Row]) -> dict[tuple[int, str, Subject], dict[int, int]]:
    groups: dict[tuple[int, str, Subject], dict[int, int]] = {}
    for row in rows:
        groups.setdefault((row["at_s"], row["variant"], _subject(row)), {})[row["bin"]] = row["current"]
    return groups


def _stability(
    at_s: int, variant: str, subject: Subject, reference: list[Row], current: dict[int, int]
) -> StabilityBucket:
    version, _, kind, feature = subject
    found = population_stability(
        [row["reference"] for row in reference], [current.get(row["bin"], 0) for row in reference]
    )
    return StabilityBucket(
        at=datetime.fromtimestamp(at_s, UTC),
        version=version,
        variant=variant,
        kind=DriftKind(kind),
        feature=feature,
        psi=found.psi,
        expected_without_drift=found.bias,
        p_value=found.p_value,
        rows=found.current_rows,
        reference_rows=found.reference_rows,
    )


def _histogram(variant: str, subject: Subject, reference: list[Row], current: dict[int, int]) -> Histogram:
    version, _, kind, feature = subject
    bins = histogram_bins(reference, current)
    return Histogram(
        version=version,
        variant=variant,
        kind=DriftKind(kind),
        feature=feature,
        reference_rows=sum(one.reference for one in bins),
        current_rows=sum(one.current for one in bins),
        bins=bins,
    )
