"""SQL of the traffic reports."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from modelyard_monitor.domain.ports import Row
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.parameters import IN_WORKSPACES, moment, workspaces_given

TRAFFIC_SQL: Final = f"""
SELECT model, uniqExact(prediction_id) AS predictions,
    predictions - uniqExactIf(prediction_id, status IN ('ok', 'rejected')) AS errors,
    quantileTDigestIf(0.5)(latency_ms, isFinite(latency_ms)) AS latency_ms_p50,
    quantileTDigestIf(0.95)(latency_ms, isFinite(latency_ms)) AS latency_ms_p95,
    sumIf(cost_usd, isFinite(cost_usd)) AS cost_usd,
    max(occurred_at) AS last_at, arraySort(groupUniqArray(model_version)) AS versions
FROM {{db}}.predictions
WHERE {{which}} AND occurred_at >= {{since:DateTime64(6)}} AND variant != 'shadow' AND {IN_WORKSPACES}
GROUP BY model ORDER BY predictions DESC, model LIMIT {{limit:UInt32}}"""  # noqa: S608  constants only

BUCKETS_SQL: Final = """
SELECT intDiv(toUnixTimestamp(occurred_at), {bucket_s:UInt32}) * {bucket_s:UInt32} AS at_s,
    model_version AS version, variant, uniqExact(prediction_id) AS predictions,
    predictions - uniqExactIf(prediction_id, status IN ('ok', 'rejected')) AS errors,
    quantileTDigestIf(0.5)(latency_ms, isFinite(latency_ms)) AS latency_ms_p50,
    quantileTDigestIf(0.95)(latency_ms, isFinite(latency_ms)) AS latency_ms_p95,
    sumIf(cost_usd, isFinite(cost_usd)) AS cost_usd
FROM {db}.predictions
WHERE model = {model:String} AND occurred_at >= {since:DateTime64(6)}
    AND ({route:String} = '' OR route = {route:String})
GROUP BY at_s, version, variant ORDER BY at_s, version, variant"""

LATEST_LABELS: Final = """
SELECT {columns},
    tupleElement(argMaxIf(tuple(wrong), (occurred_at, received_at, _offset), rejected = ''), 1) AS is_wrong,
    tupleElement(argMaxIf(tuple(absolute_error), (occurred_at, received_at, _offset), rejected = ''), 1) AS error
FROM {db}.v_matched
WHERE predicted_at >= {since:DateTime64(6)} AND received_at >= {since:DateTime64(6)} - INTERVAL 1 DAY AND {where}
GROUP BY {columns}, workspace, prediction_id"""
"""A label is received after its prediction; a day is left for clocks that differ."""

LABEL_COUNTS: Final = """countIf(is_wrong IS NOT NULL) AS labelled, countIf(is_wrong = 1) AS wrong,
    avg(error) AS mean_absolute_error"""

_OF_MODELS: Final = f"model IN {{models:Array(String)}} AND variant != 'shadow' AND {IN_WORKSPACES}"
LABELLED_SQL: Final = (
    f"SELECT model, {LABEL_COUNTS} FROM ("  # noqa: S608  constants only
    + LATEST_LABELS.replace("{columns}", "model").replace("{where}", _OF_MODELS)
    + ") GROUP BY model"
)

LABELLED_BUCKETS_SQL: Final = (
    f"SELECT at_s, version, variant, {LABEL_COUNTS} FROM ("  # noqa: S608  constants only
    + LATEST_LABELS.replace(
        "SELECT {columns}",
        "SELECT intDiv(toUnixTimestamp(assumeNotNull(predicted_at)), {bucket_s:UInt32}) * {bucket_s:UInt32} AS at_s, "
        "model_version AS version, variant",
    )
    .replace("{columns}", "at_s, version, variant")
    .replace("{where}", "model = {model:String} AND ({route:String} = '' OR route = {route:String})")
    + ") GROUP BY at_s, version, variant"
)


class TrafficQueries:
    """The TrafficRows port on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def models(
        self, since: datetime, workspaces: Collection[str] | None, limit: int, names: Collection[str] = ()
    ) -> list[Row]:
        """Return requests, latencies and versions per model, busiest first. names: only these; empty for all."""
        parameters = {"since": moment(since), "limit": limit, **workspaces_given(workspaces)}
        # A condition on the first column of the key, so that the rows of other models are not read.
        which = "model IN {models:Array(String)}" if names else "1 = 1"
        return self._clickhouse.rows(TRAFFIC_SQL.replace("{which}", which), {**parameters, "models": sorted(names)})

    def labels(self, since: datetime, workspaces: Collection[str] | None, names: Collection[str]) -> list[Row]:
        """Return labelled and wrong predictions of these models."""
        parameters = {"since": moment(since), "models": sorted(names), **workspaces_given(workspaces)}
        return self._clickhouse.rows(LABELLED_SQL, parameters)

    def buckets(self, model: str, since: datetime, bucket_s: int, route: str) -> list[Row]:
        """Return requests, latencies and cost per interval, version and variant; `at_s` is in Unix seconds."""
        return self._clickhouse.rows(BUCKETS_SQL, _scope(model, since, bucket_s, route))

    def labelled_buckets(self, model: str, since: datetime, bucket_s: int, route: str) -> list[Row]:
        """Return labelled and wrong predictions per interval of the prediction, version and variant."""
        return self._clickhouse.rows(LABELLED_BUCKETS_SQL, _scope(model, since, bucket_s, route))


def _scope(model: str, since: datetime, bucket_s: int, route: str) -> Row:
    return {"model": model, "since": moment(since), "bucket_s": bucket_s, "route": route}
