"""Counts of labels in ClickHouse: what a schedule of rows waits for."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from modelyard_runtime.errors import Retryable
from modelyard_trainer.worker.clickhouse import ClickHouseUnavailable, Query

COUNTS_SQL: Final = """
SELECT model, count() AS labels FROM v_matched
WHERE has({models:Array(String)}, model) AND repeat = 0 AND rejected = ''
  AND received_at > {oldest:DateTime64(6, 'UTC')}
  AND received_at > {moments:Array(DateTime64(6, 'UTC'))}[indexOf({models:Array(String)}, model)]
GROUP BY model"""


class LabelsAway(Retryable):
    """Labels cannot be counted now; they are counted again."""

    code = "labels_unavailable"


class StoredLabels:
    """domain.ports.LabelCounts. Blocks."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def since(self, moments: Mapping[str, datetime]) -> Mapping[str, int]:
        """Labels per model that arrived after its moment; LabelsAway while ClickHouse is."""
        if not moments:
            return {}
        texts = {model: moment.strftime("%Y-%m-%d %H:%M:%S.%f") for model, moment in moments.items()}
        parameters = {"models": list(texts), "moments": list(texts.values()), "oldest": min(texts.values())}
        try:
            found = self._query(COUNTS_SQL, parameters).to_pylist()
        except ClickHouseUnavailable as error:
            raise LabelsAway(f"labels cannot be counted: {error}") from error
        return {row["model"]: row["labels"] for row in found}
