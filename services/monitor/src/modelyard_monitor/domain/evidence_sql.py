"""SQL that recomputes a finding's statistic from stored rows, so that anyone can check it."""

from modelyard_contracts import DriftKind, OffsetRange, SliceSummarised
from modelyard_contracts.manifest import RESERVED_BINS, ModelManifest
from modelyard_monitor.domain.finding import Finding
from modelyard_monitor.domain.psi import SMOOTHING


def drift_sql(found: Finding, piece: SliceSummarised, manifest: ModelManifest | None, database: str) -> str:
    """Return a query that recomputes the statistic; '' when the statistic has no simple query."""
    if found.kind is DriftKind.PERFORMANCE:
        return (
            f"SELECT countIf(wrong = 1) / count() AS error_rate, count() AS labels FROM {database}.v_matched "  # noqa: S608
            f"WHERE {_whose(piece)} AND repeat = 0 AND wrong IS NOT NULL AND {_offsets(found.covers)}"
        )
    value = _value(found, manifest)
    if found.reference is None or not value:
        return f"SELECT avg({value}) FROM {database}.predictions WHERE {_rows(found, piece, manifest)}" if value else ""  # noqa: S608
    reference = list(found.reference.counts)
    bin_ = _bin(found, categorical=found.subject in _places(manifest)[1])
    return (
        "WITH counted AS (\n"  # noqa: S608  every value is a number or quoted
        f"    SELECT {bin_} AS bin, count() AS n FROM (SELECT {value} AS v FROM {database}.predictions\n"
        f"    WHERE {_rows(found, piece, manifest)}) GROUP BY bin),\n"
        f"both AS (SELECT number AS bin, {reference}[number + 1] AS r, ifNull(n, 0) AS c\n"
        f"    FROM numbers({len(reference)}) AS places LEFT JOIN counted ON toInt64(number) = toInt64(counted.bin)\n"
        "    WHERE r + c > 0),\n"
        f"shares AS (SELECT (r + {SMOOTHING}) / (sum(r) OVER () + {SMOOTHING} * count() OVER ()) AS p,\n"
        f"    (c + {SMOOTHING}) / (sum(c) OVER () + {SMOOTHING} * count() OVER ()) AS q FROM both)\n"
        "SELECT sum((q - p) * log(q / p)) AS psi FROM shares"
    )


def alert_sql(found: Finding, piece: SliceSummarised, database: str) -> str:
    """Return a query for the number of requests per status."""
    where = f"{_whose(piece)} AND {_offsets(found.window.ranges() or (piece.covers,))}"
    return f"SELECT status, count() FROM {database}.predictions WHERE {where} GROUP BY status"  # noqa: S608  quoted


def _value(found: Finding, manifest: ModelManifest | None) -> str:
    if found.kind is DriftKind.SCORE:
        return "score"
    numeric, categorical = _places(manifest)
    if found.subject in numeric:
        name = _quoted(found.subject)
        by_name = f"if(mapContains(features_by_name, {name}), features_by_name[{name}], NULL)"
        return f"if(length(num_features) = {len(numeric)}, num_features[{numeric.index(found.subject) + 1}], {by_name})"
    if found.subject in categorical:
        return f"cat_features[{categorical.index(found.subject) + 1}]"
    return ""


def _places(manifest: ModelManifest | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the numeric and of the categorical features, in order."""
    return (manifest.feature_schema.numeric, manifest.feature_schema.categorical) if manifest else ((), ())


def _counted(found: Finding, manifest: ModelManifest | None) -> str:
    """Return the condition of counted rows: with a score, or with features that match the contract."""
    if found.kind is DriftKind.SCORE:
        return "status = 'ok' AND score IS NOT NULL"
    numeric, categorical = _places(manifest)
    if found.subject in numeric:
        return f"(length(num_features) = {len(numeric)} OR notEmpty(mapKeys(features_by_name)))"
    return f"length(cat_features) = {len(categorical)}"


def _bin(found: Finding, *, categorical: bool) -> str:
    assert found.reference is not None  # noqa: S101  checked by the caller
    first = len(RESERVED_BINS)
    if categorical:
        if not found.reference.categories:
            return "if(v IS NULL, 0, 2)"
        names = ", ".join(_quoted(one) for one in found.reference.categories)
        return f"multiIf(v IS NULL, 0, indexOf([{names}], v) = 0, 2, {first - 1} + indexOf([{names}], v))"
    edges = ", ".join(repr(edge) for edge in found.reference.edges)
    place = f"arrayCount(e -> assumeNotNull(v) >= e, [{edges}])" if edges else "0"
    return f"multiIf(v IS NULL, 0, NOT isFinite(v), 1, {first} + {place})"


def _rows(found: Finding, piece: SliceSummarised, manifest: ModelManifest | None) -> str:
    return f"{_whose(piece)} AND {_counted(found, manifest)} AND {_offsets(found.covers)}"


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
