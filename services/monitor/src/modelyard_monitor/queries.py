"""What the API answers with: questions to ClickHouse, answers as plain values."""

import json
from datetime import datetime
from typing import Any, Final

from modelyard_contracts import DriftDetected
from modelyard_monitor.clickhouse import ClickHouse
from modelyard_monitor.domain.psi import population_stability

HEALTH_SQL: Final = """
SELECT model_version AS version, variant, count() AS predictions, countIf(status != 'ok') AS errors,
    quantileTDigestIf(0.5)(latency_ms, isFinite(latency_ms)) AS latency_ms_p50,
    quantileTDigestIf(0.95)(latency_ms, isFinite(latency_ms)) AS latency_ms_p95
FROM {db}.predictions
WHERE model = {model:String} AND occurred_at >= {since:DateTime64(6)}
    AND ({route:String} = '' OR route = {route:String})
GROUP BY version, variant ORDER BY version, variant"""

LABELLED_SQL: Final = """
SELECT model_version AS version, variant, count() AS labelled, countIf(is_wrong = 1) AS wrong
FROM (
    SELECT model_version, variant,
        tupleElement(argMax(tuple(wrong), (occurred_at, received_at, _offset)), 1) AS is_wrong
    FROM {db}.v_matched
    WHERE model = {model:String} AND predicted_at >= {since:DateTime64(6)}
        AND ({route:String} = '' OR route = {route:String})
    GROUP BY model_version, variant, workspace, prediction_id
)
WHERE is_wrong IS NOT NULL
GROUP BY version, variant"""

EVENT_COLUMNS: Final = "event_id, topic, type, occurred_at, recorded_at, correlation_id, cause_id, model, payload"

DRIFT_SQL: Final = f"""
SELECT {EVENT_COLUMNS} FROM {{db}}.events
WHERE model = {{model:String}} AND topic = '{DriftDetected.TOPIC}'
ORDER BY occurred_at DESC, _offset DESC LIMIT 1 BY event_id LIMIT {{limit:UInt32}}"""  # noqa: S608  constants only

STORY_SQL: Final = f"""
SELECT {EVENT_COLUMNS} FROM {{db}}.v_story WHERE correlation_id = {{correlation_id:String}}
ORDER BY occurred_at, recorded_at"""  # noqa: S608  constants only

PSI_SQL: Final = """
SELECT b.variant AS variant, b.model_version AS version, b.feature AS feature, r.bin AS bin,
    r.n AS reference, sumIf(b.n, b.bin = r.bin) AS current
FROM (
    SELECT model_version, variant, feature, bin, sum(n) AS n FROM {db}.feature_bins
    WHERE model = {model:String} AND minute >= now() - toIntervalSecond({window_s:UInt32})
    GROUP BY model_version, variant, feature, bin
) AS b
INNER JOIN (SELECT * FROM {db}.reference_bins FINAL WHERE model = {model:String}) AS r
    ON b.model_version = r.model_version AND b.feature = r.feature
GROUP BY variant, version, feature, bin, reference
ORDER BY version, variant, feature, bin"""

STORED_SQL: Final = """
SELECT * FROM (
SELECT _topic AS topic, _partition AS partition, count() AS rows, uniqExact(_offset) AS distinct_offsets,
    max(_offset) AS last_offset, max(received_at) AS newest
FROM {db}.predictions GROUP BY topic, partition
UNION ALL
SELECT _topic, _partition, count(), uniqExact(_offset), max(_offset), max(received_at)
FROM {db}.labels GROUP BY _topic, _partition
)
ORDER BY topic, partition"""


DEFINITION: Final = "sum (q - p) ln(q / p); p, q = (count + 0.5) / (rows + 0.5 bins); bins empty on both sides left out"


class Questions:
    """Each call blocks; Retryable when ClickHouse is away."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def health(self, model: str, since: datetime, route: str) -> list[dict[str, Any]]:
        """Per version and variant: predictions, errors, latencies of predictions since then, and their labels."""
        asked = {"model": model, "since": since.strftime("%Y-%m-%d %H:%M:%S.%f"), "route": route}
        answered = self._clickhouse.rows(HEALTH_SQL, asked)
        labelled = {(r["version"], r["variant"]): r for r in self._clickhouse.rows(LABELLED_SQL, asked)}
        nothing = {"labelled": 0, "wrong": 0}
        return [{**row, **_counts(labelled.get((row["version"], row["variant"]), nothing))} for row in answered]

    def drift(self, model: str, limit: int) -> list[dict[str, Any]]:
        """The newest drift events, newest first."""
        return [_event(row) for row in self._clickhouse.rows(DRIFT_SQL, {"model": model, "limit": limit})]

    def story(self, correlation_id: str) -> list[dict[str, Any]]:
        """Every event of one story, in order."""
        return [_event(row) for row in self._clickhouse.rows(STORY_SQL, {"correlation_id": correlation_id})]

    def psi(self, model: str, window_s: int) -> list[dict[str, Any]]:
        """PSI per version, variant and feature over the last `window_s` seconds, with its p-value and counts."""
        groups: dict[tuple[int, str, str], list[dict[str, Any]]] = {}
        for row in self._clickhouse.rows(PSI_SQL, {"model": model, "window_s": window_s}):
            groups.setdefault((row["version"], row["variant"], row["feature"]), []).append(row)
        return [_psi(*key, rows) for key, rows in groups.items()]

    def stored(self) -> list[dict[str, Any]]:
        """Rows, distinct offsets and the newest record of each partition."""
        return self._clickhouse.rows(STORED_SQL)


def _counts(row: dict[str, Any]) -> dict[str, Any]:
    return {"labelled": row["labelled"], "wrong": row["wrong"]}


def _event(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "payload": json.loads(row["payload"])}


def _psi(version: int, variant: str, feature: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    found = population_stability([row["reference"] for row in rows], [row["current"] for row in rows])
    return {
        "version": version,
        "variant": variant,
        "feature": feature,
        "psi": found.psi,
        "expected_without_drift": found.bias,
        "p_value": found.p_value,
        "reference_rows": found.reference_rows,
        "current_rows": found.current_rows,
        "bins": [{"bin": row["bin"], "reference": row["reference"], "current": row["current"]} for row in rows],
        "definition": DEFINITION,
    }
