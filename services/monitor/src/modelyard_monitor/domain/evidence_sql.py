"""SQL that recomputes a finding's number from stored rows, so that anyone can check it.

The first column of every query is the number in the event: `statistic` of a drift, `value` of an alert.
"""

from typing import Final

from modelyard_contracts import DriftKind, SliceSummarised
from modelyard_contracts.manifest import RESERVED_BINS, ModelManifest
from modelyard_monitor.domain.evidence_rows import Source, label_offsets, offsets, quoted, served_by, usable_row
from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.performance import MEAN_ABSOLUTE_ERROR
from modelyard_monitor.domain.psi import SMOOTHING

RESERVED: Final = len(RESERVED_BINS)


def drift_sql(found: Finding, piece: SliceSummarised, manifest: ModelManifest | None, database: str) -> str:
    """Return the query for a drift; '' when its rows can no longer be named by offsets."""
    if not found.covers:
        return ""
    if found.kind is DriftKind.PERFORMANCE:
        return _performance(found, piece, database)
    source = Source.of(found.kind or DriftKind.FEATURE, found.subject, manifest)
    if source is None:
        return ""
    return (_psi if found.detector == "psi" else _mean_shift)(found, source, piece, database)


def alert_sql(found: Finding, piece: SliceSummarised, manifest: ModelManifest | None, database: str) -> str:
    """Return the query for an alert; '' when there is none."""
    if found.reference is not None:
        return _broken_values(found, piece, manifest, database)
    if found.alert == "labels_do_not_match":
        return _rejected_labels(found, piece, database)
    value = _value_of_requests(found.alert, manifest)
    if not value:
        return ""
    where = f"{served_by(piece)} AND {offsets(found.window.ranges())}"
    return f"SELECT {value} AS value, count() AS rows FROM {database}.predictions WHERE {where}"  # noqa: S608  quoted


def _value_of_requests(alert: str, manifest: ModelManifest | None) -> str:
    """Return the expression of an alert about requests; '' when it needs a manifest that is gone."""
    if alert == "labels_missing":
        return "toFloat64(count())"
    if alert == "error_rate_high":
        return "countIf(status NOT IN ('ok', 'rejected')) / count()"
    return f"countIf(status = 'ok' AND NOT {usable_row(manifest.signature)}) / count()" if manifest else ""


def _rejected_labels(found: Finding, piece: SliceSummarised, database: str) -> str:
    return (
        f"SELECT countIf(rejected != '') / count() AS value, count() AS rows FROM {database}.v_matched "  # noqa: S608  quoted
        f"WHERE {served_by(piece)} AND repeat = 0 AND {label_offsets(found.covers)}"
    )


def _performance(found: Finding, piece: SliceSummarised, database: str) -> str:
    if found.subject == MEAN_ABSOLUTE_ERROR:
        statistic, known = f"avg(absolute_error) / {found.before!r} - 1", "absolute_error IS NOT NULL"
    else:
        statistic, known = f"countIf(wrong = 1) / count() - {found.before!r}", "wrong IS NOT NULL"
    return (
        f"SELECT {statistic} AS statistic, count() AS labels FROM {database}.v_matched "  # noqa: S608  quoted
        f"WHERE {served_by(piece)} AND repeat = 0 AND {known} AND {label_offsets(found.covers)}"
    )


def _mean_shift(found: Finding, source: Source, piece: SliceSummarised, database: str) -> str:
    return (
        f"SELECT abs(avg(v) - {found.before!r}) / {found.spread!r} AS statistic, count() AS rows\n"  # noqa: S608  quoted
        f"FROM (SELECT {source.value} AS v FROM {database}.predictions\n"
        f"    WHERE status = 'ok' AND {source.counted} AND {served_by(piece)} AND {offsets(found.covers)})\n"
        "WHERE v IS NOT NULL AND isFinite(v)"
    )


def _psi(found: Finding, source: Source, piece: SliceSummarised, database: str) -> str:
    assert found.reference is not None  # noqa: S101  a PSI finding has one
    reference = list(found.reference.counts)
    rows = _bins(found, source, piece, database)
    return (
        f"WITH counted AS (\n    SELECT bin, count() AS n FROM ({rows}) GROUP BY bin),\n"  # noqa: S608  quoted
        f"both AS (SELECT number AS bin, {reference}[number + 1] AS r, ifNull(n, 0) AS c\n"
        f"    FROM numbers({len(reference)}) AS places LEFT JOIN counted ON toInt64(number) = toInt64(counted.bin)\n"
        "    WHERE r + c > 0),\n"
        f"shares AS (SELECT (r + {SMOOTHING}) / (sum(r) OVER () + {SMOOTHING} * count() OVER ()) AS p,\n"
        f"    (c + {SMOOTHING}) / (sum(c) OVER () + {SMOOTHING} * count() OVER ()) AS q FROM both)\n"
        "SELECT sum((q - p) * log(q / p)) AS statistic FROM shares"
    )


def _broken_values(found: Finding, piece: SliceSummarised, manifest: ModelManifest | None, database: str) -> str:
    source = Source.of(found.of, found.subject, manifest)
    if source is None:
        return ""
    what = found.alert.removesuffix("_values_high")
    place = RESERVED_BINS.index("other" if what == "unseen" else what)
    rows = _bins(found, source, piece, database)
    return f"SELECT countIf(bin = {place}) / count() AS value, count() AS rows FROM ({rows})"  # noqa: S608  quoted


def _bins(found: Finding, source: Source, piece: SliceSummarised, database: str) -> str:
    """Return a query with the bin of every counted row, an index into the reference's counts."""
    return (
        f"SELECT {_bin(found, source)} AS bin FROM (SELECT {source.value} AS v FROM {database}.predictions\n"  # noqa: S608  quoted
        f"    WHERE status = 'ok' AND {source.counted} AND {served_by(piece)} AND {offsets(found.covers)})"
    )


def _bin(found: Finding, source: Source) -> str:
    assert found.reference is not None  # noqa: S101  checked by the caller
    if not source.numeric:
        if not found.reference.categories:
            return f"if(v IS NULL, 0, {RESERVED - 1})"
        names = ", ".join(quoted(one) for one in found.reference.categories)
        return (
            f"multiIf(v IS NULL, 0, indexOf([{names}], v) = 0, {RESERVED - 1}, {RESERVED - 1} + indexOf([{names}], v))"
        )
    edges = ", ".join(repr(edge) for edge in found.reference.edges)
    place = f"arrayCount(e -> assumeNotNull(v) >= e, [{edges}])" if edges else "0"
    return f"multiIf(v IS NULL, 0, NOT isFinite(v), 1, {RESERVED} + {place})"
