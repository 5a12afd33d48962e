"""Findings as events: ids that a replay repeats, and SQL that anyone can run to check."""

from modelyard_contracts import (
    AlertRaised,
    DriftDetected,
    DriftKind,
    OffsetRange,
    SliceSummarised,
    derived_id,
)
from modelyard_contracts.manifest import RESERVED_BINS, ModelManifest
from modelyard_monitor.domain.findings import Finding
from modelyard_monitor.domain.psi import SMOOTHING


def event_of(
    found: Finding, piece: SliceSummarised, manifest: ModelManifest | None, database: str
) -> DriftDetected | AlertRaised:
    """The event that says `found`, which `piece` revealed. Everything in it depends on the slices alone."""
    return _drift(found, piece, manifest, database) if found.kind else _alert(found, piece, database)


def _drift(found: Finding, piece: SliceSummarised, manifest: ModelManifest | None, database: str) -> DriftDetected:
    assert found.kind is not None  # noqa: S101  asked by the caller
    where = (piece.covers.topic, piece.covers.partition, piece.covers.last_offset)
    name = (piece.model, piece.model_version, piece.model_digest, piece.variant, found.kind, found.subject)
    event_id = derived_id("drift", *name, *where)
    return DriftDetected(
        event_id=event_id,
        occurred_at=piece.occurred_at,
        correlation_id=derived_id("story", event_id),
        cause_id=piece.event_id,
        model=piece.model,
        model_version=piece.model_version,
        model_digest=piece.model_digest,
        variant=piece.variant,
        kind=found.kind,
        subject=found.subject,
        detector=found.detector,
        severity=found.severity,
        reason=found.reason,
        statistic=found.statistic,
        threshold=found.threshold,
        p_value=found.p_value,
        q_value=found.q_value,
        reference_rows=found.reference_rows,
        current_rows=found.current_rows,
        window_start=found.window.start or piece.window_start,
        window_end=found.window.end or piece.window_end,
        bin_edges=found.reference.edges if found.reference else (),
        reference_counts=found.reference.counts if found.reference else (),
        current_counts=found.current_counts,
        covers=found.covers,
        sql=drift_sql(found, piece, manifest, database),
    )


def _alert(found: Finding, piece: SliceSummarised, database: str) -> AlertRaised:
    where = (piece.covers.topic, piece.covers.partition, piece.covers.last_offset)
    name = (piece.model, piece.model_version, piece.model_digest, piece.variant, found.alert, found.subject)
    event_id = derived_id("alert", *name, *where)
    return AlertRaised(
        event_id=event_id,
        occurred_at=piece.occurred_at,
        correlation_id=derived_id("story", event_id),
        cause_id=piece.event_id,
        model=piece.model,
        model_version=piece.model_version,
        model_digest=piece.model_digest,
        variant=piece.variant,
        alert=found.alert,
        subject=found.subject,
        severity=found.severity,
        reason=found.reason,
        value=found.statistic,
        threshold=found.threshold,
        rows=found.current_rows,
        window_start=found.window.start or piece.window_start,
        window_end=found.window.end or piece.window_end,
        sql=f"SELECT status, count() FROM {database}.predictions WHERE {_whose(piece)} AND "  # noqa: S608  quoted
        f"{_offsets(found.window.ranges() or (piece.covers,))} GROUP BY status",
    )


def drift_sql(found: Finding, piece: SliceSummarised, manifest: ModelManifest | None, database: str) -> str:
    """A query that gives the statistic again from stored rows; '' where there is none so simple."""
    if found.kind is DriftKind.PERFORMANCE:
        return (
            f"SELECT countIf(wrong = 1) / count() AS error_rate, count() AS labels FROM {database}.v_matched "  # noqa: S608
            f"WHERE {_whose(piece)} AND repeat = 0 AND wrong IS NOT NULL AND {_offsets(found.covers)}"
        )
    value = _value(found, manifest)
    if found.reference is None or not value:
        return f"SELECT avg({value}) FROM {database}.predictions WHERE {_rows(found, piece)}" if value else ""  # noqa: S608
    reference = list(found.reference.counts)
    return (
        "WITH counted AS (\n"  # noqa: S608  every value is a number or quoted
        f"    SELECT {_bin(found)} AS bin, count() AS n FROM (SELECT {value} AS v FROM {database}.predictions\n"
        f"    WHERE {_rows(found, piece)}) GROUP BY bin),\n"
        f"both AS (SELECT number AS bin, {reference}[number + 1] AS r, ifNull(n, 0) AS c\n"
        f"    FROM numbers({len(reference)}) AS places LEFT JOIN counted ON toInt64(number) = toInt64(counted.bin)\n"
        "    WHERE r + c > 0),\n"
        f"shares AS (SELECT (r + {SMOOTHING}) / (sum(r) OVER () + {SMOOTHING} * count() OVER ()) AS p,\n"
        f"    (c + {SMOOTHING}) / (sum(c) OVER () + {SMOOTHING} * count() OVER ()) AS q FROM both)\n"
        "SELECT sum((q - p) * log(q / p)) AS psi FROM shares"
    )


def _value(found: Finding, manifest: ModelManifest | None) -> str:
    if found.kind is DriftKind.SCORE:
        return "score"
    if manifest is None:
        return ""
    if found.subject in manifest.feature_schema.numeric:
        return f"num_features[{manifest.feature_schema.numeric.index(found.subject) + 1}]"
    if found.subject in manifest.feature_schema.categorical:
        return f"cat_features[{manifest.feature_schema.categorical.index(found.subject) + 1}]"
    return ""


def _bin(found: Finding) -> str:
    assert found.reference is not None  # noqa: S101  asked by the caller
    first = len(RESERVED_BINS)
    if found.reference.categories:
        names = ", ".join(_quoted(one) for one in found.reference.categories)
        return f"multiIf(v IS NULL, 0, indexOf([{names}], v) = 0, 2, {first - 1} + indexOf([{names}], v))"
    edges = ", ".join(repr(edge) for edge in found.reference.edges)
    place = f"arrayCount(e -> assumeNotNull(v) >= e, [{edges}])" if edges else "0"
    return f"multiIf(v IS NULL, 0, NOT isFinite(v), 1, {first} + {place})"


def _rows(found: Finding, piece: SliceSummarised) -> str:
    score = "status = 'ok' AND score IS NOT NULL AND " if found.kind is DriftKind.SCORE else "sampled AND "
    return f"{_whose(piece)} AND {score}{_offsets(found.covers)}"


def _whose(piece: SliceSummarised) -> str:
    return (
        f"model = {_quoted(piece.model)} AND model_version = {piece.model_version} "
        f"AND model_digest = {_quoted(piece.model_digest)} AND variant = {_quoted(piece.variant)}"
    )


def _offsets(covers: tuple[OffsetRange, ...]) -> str:
    ranges = " OR ".join(
        f"(_topic = {_quoted(one.topic)} AND _partition = {one.partition} "
        f"AND _offset BETWEEN {one.first_offset} AND {one.last_offset})"
        for one in covers
    )
    return f"({ranges or '1'})"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
