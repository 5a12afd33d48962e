"""SQL of single predictions."""

from collections.abc import Collection
from operator import itemgetter
from typing import Final

from modelyard_monitor.domain.ports import Row
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.parameters import IN_WORKSPACES, workspaces_given

PREDICTION_SQL: Final = f"""
SELECT prediction_id, occurred_at, received_at, model, model_version AS version, model_digest AS digest,
    route, route_sequence, variant, rule, path, entity_key_hash, feature_schema_id, num_features, cat_features,
    features_by_name, class, score, scores, text_length, latency_ms, overhead_ms, cost_usd, status,
    attempts, votes, shadow_of, sampled
FROM {{db}}.predictions
WHERE prediction_id = {{id:String}} AND ({{model:String}} = '' OR model = {{model:String}}) AND {IN_WORKSPACES}
ORDER BY status = 'ok' DESC, occurred_at LIMIT 1 BY model LIMIT 100"""  # noqa: S608  constants only

LABELS_SQL: Final = """
SELECT model, label, value, source, occurred_at, received_at, rejected, wrong, absolute_error
FROM {db}.v_matched WHERE prediction_id = {id:String}
ORDER BY model, occurred_at, received_at, _offset LIMIT 1000"""


class PredictionQueries:
    """The PredictionRows port on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def predictions(self, prediction_id: str, model: str, workspaces: Collection[str] | None) -> list[Row]:
        """Return one row per model that answered under this id, by name; an answer supersedes failed requests."""
        parameters = {"id": prediction_id, "model": model, **workspaces_given(workspaces)}
        return sorted(self._clickhouse.rows(PREDICTION_SQL, parameters), key=itemgetter("model"))

    def labels(self, prediction_id: str) -> list[Row]:
        """Return the labels of the predictions with this id, oldest first per model."""
        return self._clickhouse.rows(LABELS_SQL, {"id": prediction_id})
