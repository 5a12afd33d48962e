"""SQL of labels that do not match."""

from datetime import datetime
from typing import Final

from modelyard_monitor.domain.ports import Row
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.parameters import moment

REJECTED: Final = """FROM {db}.v_matched
WHERE model = {model:String} AND rejected != '' AND variant != 'shadow' AND predicted_at >= {since:DateTime64(6)}
    AND received_at >= {since:DateTime64(6)} - INTERVAL 1 DAY"""
"""A label is received after its prediction; a day is left for clocks that differ."""

REASONS_SQL: Final = f"""
SELECT model_version AS version, model_digest AS digest, rejected AS reason, count() AS labels {REJECTED}
GROUP BY version, digest, reason ORDER BY labels DESC, version DESC, reason"""

TEXTS_SQL: Final = f"""
SELECT substringUTF8(coalesce(label, toString(value), ''), 1, 200) AS text, rejected AS reason, count() AS labels
{REJECTED}
GROUP BY text, reason ORDER BY labels DESC, text, reason LIMIT {{limit:UInt32}}"""


class LabelQueries:
    """The RejectedRows port on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def reasons(self, model: str, since: datetime) -> list[Row]:
        """Return rejected labels per version and reason, most first."""
        return self._clickhouse.rows(REASONS_SQL, {"model": model, "since": moment(since)})

    def texts(self, model: str, since: datetime, limit: int) -> list[Row]:
        """Return the most frequent rejected labels with their reason."""
        return self._clickhouse.rows(TEXTS_SQL, {"model": model, "since": moment(since), "limit": limit})
