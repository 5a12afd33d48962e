"""Turn findings into events, with ids that a replay repeats."""

from typing import Any

from modelyard_contracts import AlertRaised, DriftDetected, SliceSummarised, derived_id
from modelyard_contracts.manifest import ModelManifest
from modelyard_monitor.domain.evidence_sql import alert_sql, drift_sql
from modelyard_monitor.domain.finding import Finding


def event_of(
    found: Finding, piece: SliceSummarised, manifest: ModelManifest | None, database: str
) -> DriftDetected | AlertRaised:
    """Return the event of a finding that `piece` revealed. All its fields depend on the slices alone."""
    if found.kind is None:
        return AlertRaised(
            **_shared(found, piece, "alert", found.alert),
            alert=found.alert,
            value=found.statistic,
            rows=found.current_rows,
            sql=alert_sql(found, piece, manifest, database),
        )
    return DriftDetected(
        **_shared(found, piece, "drift", found.kind),
        kind=found.kind,
        detector=found.detector,
        statistic=found.statistic,
        p_value=found.p_value,
        q_value=found.q_value,
        reference_rows=found.reference_rows,
        current_rows=found.current_rows,
        bin_edges=found.reference.edges if found.reference else (),
        reference_counts=found.reference.counts if found.reference else (),
        current_counts=found.current_counts,
        dispersion=found.dispersion,
        change_at=found.change_at or found.window.start,
        covers=found.covers,
        sql=drift_sql(found, piece, manifest, database),
    )


def _shared(found: Finding, piece: SliceSummarised, word: str, what: str) -> dict[str, Any]:
    """Return the fields that both events have; the id is derived from the finding and its last record."""
    version = (piece.model, piece.model_version, piece.model_digest, piece.variant)
    name = (what, found.subject, found.detector)
    last = (piece.covers.topic, piece.covers.partition, piece.covers.last_offset)
    event_id = derived_id(word, *version, *name, *last)
    return {
        "event_id": event_id,
        "occurred_at": piece.occurred_at,
        "correlation_id": derived_id("timeline", event_id),
        "cause_id": piece.event_id,
        "model": piece.model,
        "model_version": piece.model_version,
        "model_digest": piece.model_digest,
        "variant": piece.variant,
        "subject": found.subject,
        "severity": found.severity,
        "reason": found.reason,
        "threshold": found.threshold,
        "recommendation": found.recommendation or "",
        "recommendation_reason": found.because,
        "window_start": found.window.start or piece.window_start,
        "window_end": found.window.end or piece.window_end,
    }
