"""Reports about what is stored: health of versions, drift, stability of features, timelines."""

import json
from datetime import datetime
from typing import Final

from modelyard_contracts import DriftKind
from modelyard_monitor.domain.ports import ReportRows, Row
from modelyard_monitor.domain.psi import population_stability
from modelyard_monitor.domain.reports import (
    BinCounts,
    FeatureStability,
    RecordedEvent,
    StoredPartition,
    VersionHealth,
)
from modelyard_monitor.domain.watching import Unwatched

DEFINITION: Final = "sum (q - p) ln(q / p); p, q = (count + 0.5) / (rows + 0.5 bins); bins empty on both sides left out"
UNLABELLED: Final = {
    "labelled": 0,
    "wrong": 0,
    "labelled_values": 0,
    "mean_absolute_error": None,
    "absolute_error_sd": None,
    "rejected_labels": 0,
}


class Reports:
    """Every method blocks; Retryable while the database is away."""

    def __init__(self, rows: ReportRows, unwatched: Unwatched) -> None:
        self._rows = rows
        self._unwatched = unwatched

    def health(self, model: str, since: datetime, route: str = "") -> list[VersionHealth]:
        """Return requests, latencies and labels per version and variant, of predictions since `since`."""
        labels = {_served(row): row for row in self._rows.labels(model, since, route)}
        unusable = {_served(row): row["unusable"] for row in self._rows.unusable(model, since)}
        reasons = {version[:2]: reason for version, reason in self._unwatched.reasons().items()}
        return [
            VersionHealth(
                **{**row, **UNLABELLED, **labels.get(_served(row), {})},
                unusable=unusable.get(_served(row), 0),
                unwatched=reasons.get((model, row["version"]), ""),
            )
            for row in self._rows.predictions(model, since, route)
        ]

    def drift(self, model: str, limit: int) -> list[RecordedEvent]:
        """Return the newest drift events, newest first."""
        return [_event(row) for row in self._rows.drift(model, limit)]

    def timeline(self, correlation_id: str) -> list[RecordedEvent]:
        """Return all events of one correlation id, in order."""
        return [_event(row) for row in self._rows.timeline(correlation_id)]

    def event(self, event_id: str) -> RecordedEvent | None:
        """Return the event with this id; None when it is not stored."""
        return next(map(_event, self._rows.event(event_id)), None)

    def stability(self, model: str, window_s: int) -> list[FeatureStability]:
        """Return PSI with its p-value and counts per version, variant and feature, over the last `window_s` seconds."""
        groups: dict[tuple[int, str, str, str], list[Row]] = {}
        for row in self._rows.bins(model, window_s):
            groups.setdefault((row["version"], row["variant"], row["kind"], row["feature"]), []).append(row)
        return [_stability(*key, rows) for key, rows in groups.items()]

    def stored(self) -> list[StoredPartition]:
        """Return rows, distinct offsets and the newest record of each partition."""
        return [StoredPartition(**row) for row in self._rows.stored()]


def _served(row: Row) -> tuple[int, str]:
    return row["version"], row["variant"]


def _event(row: Row) -> RecordedEvent:
    return RecordedEvent(**{**row, "payload": json.loads(row["payload"])})


def _stability(version: int, variant: str, kind: str, feature: str, rows: list[Row]) -> FeatureStability:
    found = population_stability([row["reference"] for row in rows], [row["current"] for row in rows])
    return FeatureStability(
        version=version,
        variant=variant,
        kind=DriftKind(kind),
        feature=feature,
        psi=found.psi,
        expected_without_drift=found.bias,
        p_value=found.p_value,
        reference_rows=found.reference_rows,
        current_rows=found.current_rows,
        bins=tuple(BinCounts(bin=row["bin"], reference=row["reference"], current=row["current"]) for row in rows),
        definition=DEFINITION,
    )
