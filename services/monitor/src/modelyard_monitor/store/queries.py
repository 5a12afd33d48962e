"""SQL of the reports; the use cases turn the rows into typed reports."""

from datetime import datetime
from typing import Any, Final

from modelyard_contracts import DriftDetected
from modelyard_monitor.domain.ports import Row
from modelyard_monitor.store.clickhouse import ClickHouse

HEALTH_SQL: Final = """
SELECT model_version AS version, variant, uniqExact(prediction_id) AS predictions,
    predictions - uniqExactIf(prediction_id, status IN ('ok', 'rejected')) AS errors,
    quantileTDigestIf(0.5)(latency_ms, isFinite(latency_ms)) AS latency_ms_p50,
    quantileTDigestIf(0.95)(latency_ms, isFinite(latency_ms)) AS latency_ms_p95
FROM {db}.predictions
WHERE model = {model:String} AND occurred_at >= {since:DateTime64(6)}
    AND ({route:String} = '' OR route = {route:String})
GROUP BY version, variant ORDER BY version, variant"""

LABELLED_SQL: Final = """
SELECT model_version AS version, variant, countIf(is_wrong IS NOT NULL) AS labelled, countIf(is_wrong = 1) AS wrong,
    countIf(error IS NOT NULL) AS labelled_values, avg(error) AS mean_absolute_error,
    if(labelled_values > 1, stddevSamp(error), NULL) AS absolute_error_sd, sum(not_matching) AS rejected_labels
FROM (
    SELECT model_version, variant,
        tupleElement(argMaxIf(tuple(wrong), (occurred_at, received_at, _offset), rejected = ''), 1) AS is_wrong,
        tupleElement(argMaxIf(tuple(absolute_error), (occurred_at, received_at, _offset), rejected = ''), 1) AS error,
        countIf(rejected != '') AS not_matching
    FROM {db}.v_matched
    WHERE model = {model:String} AND predicted_at >= {since:DateTime64(6)}
        AND ({route:String} = '' OR route = {route:String})
    GROUP BY model_version, variant, workspace, prediction_id
)
GROUP BY version, variant"""

UNUSABLE_SQL: Final = """
SELECT model_version AS version, variant, sum(n) AS unusable FROM {db}.feature_bins
WHERE model = {model:String} AND kind = 'unusable' AND minute >= toStartOfMinute({since:DateTime64(6)})
GROUP BY version, variant"""

EVENT_COLUMNS: Final = "event_id, topic, type, occurred_at, recorded_at, correlation_id, cause_id, model, payload"

DRIFT_SQL: Final = f"""
SELECT {EVENT_COLUMNS} FROM {{db}}.events
WHERE model = {{model:String}} AND topic = '{DriftDetected.TOPIC}'
ORDER BY occurred_at DESC, _offset DESC LIMIT 1 BY event_id LIMIT {{limit:UInt32}}"""  # noqa: S608  constants only

TIMELINE_SQL: Final = f"""
SELECT {EVENT_COLUMNS} FROM {{db}}.v_timeline WHERE correlation_id = {{correlation_id:String}}
ORDER BY occurred_at, recorded_at"""  # noqa: S608  constants only

EVENT_SQL: Final = f"""
SELECT {EVENT_COLUMNS} FROM {{db}}.events WHERE event_id = {{event_id:String}} LIMIT 1"""  # noqa: S608  constants only

PSI_SQL: Final = """
SELECT b.variant AS variant, b.model_version AS version, b.kind AS kind, b.feature AS feature, r.bin AS bin,
    r.n AS reference, sumIf(b.n, b.bin = r.bin) AS current
FROM (
    SELECT model_version, model_digest, variant, kind, feature, bin, sum(n) AS n FROM {db}.feature_bins
    WHERE model = {model:String} AND minute >= now() - toIntervalSecond({window_s:UInt32})
    GROUP BY model_version, model_digest, variant, kind, feature, bin
) AS b
INNER JOIN (SELECT * FROM {db}.reference_bins FINAL WHERE model = {model:String}) AS r
    ON b.model_version = r.model_version AND b.model_digest = r.model_digest
        AND b.kind = r.kind AND b.feature = r.feature
GROUP BY variant, version, kind, feature, bin, reference
ORDER BY version, variant, kind, feature, bin"""

STORED_SQL: Final = """
SELECT * FROM (
SELECT _topic AS topic, _partition AS partition, count() AS rows, uniqExact(_offset) AS distinct_offsets,
    max(_offset) AS last_offset, max(received_at) AS newest
FROM {db}.predictions GROUP BY topic, partition
UNION ALL
SELECT _topic, _partition, count(), uniqExact(_offset), max(_offset), max(received_at)
FROM {db}.generations GROUP BY _topic, _partition
UNION ALL
SELECT _topic, _partition, count(), uniqExact(_offset), max(_offset), max(received_at)
FROM {db}.labels GROUP BY _topic, _partition
)
ORDER BY topic, partition"""


class ReportQueries:
    """The ReportRows port on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def predictions(self, model: str, since: datetime, route: str) -> list[Row]:
        """Return counts and latencies per version and variant."""
        return self._clickhouse.rows(HEALTH_SQL, _scope(model, since, route))

    def labels(self, model: str, since: datetime, route: str) -> list[Row]:
        """Return labelled and wrong predictions per version and variant."""
        return self._clickhouse.rows(LABELLED_SQL, _scope(model, since, route))

    def unusable(self, model: str, since: datetime) -> list[Row]:
        """Return answered requests per version and variant that break the signature."""
        return self._clickhouse.rows(UNUSABLE_SQL, _scope(model, since, ""))

    def bins(self, model: str, window_s: int) -> list[Row]:
        """Return reference and current counts per version, variant, feature and bin."""
        return self._clickhouse.rows(PSI_SQL, {"model": model, "window_s": window_s})

    def drift(self, model: str, limit: int) -> list[Row]:
        """Return the newest drift events, newest first."""
        return self._clickhouse.rows(DRIFT_SQL, {"model": model, "limit": limit})

    def timeline(self, correlation_id: str) -> list[Row]:
        """Return the events that share a correlation id, in order."""
        return self._clickhouse.rows(TIMELINE_SQL, {"correlation_id": correlation_id})

    def event(self, event_id: str) -> list[Row]:
        """Return the event with this id, or nothing."""
        return self._clickhouse.rows(EVENT_SQL, {"event_id": event_id})

    def stored(self) -> list[Row]:
        """Return rows, distinct offsets and the newest record of each partition."""
        return self._clickhouse.rows(STORED_SQL)


def _scope(model: str, since: datetime, route: str) -> dict[str, Any]:
    return {"model": model, "since": since.strftime("%Y-%m-%d %H:%M:%S.%f"), "route": route}
