"""SQL of the performance alarms: their events, changes of the champion, and errors of labelled rows."""

from datetime import datetime
from typing import Any, Final

from modelyard_contracts import DriftDetected, DriftKind, ResourceChange, ResourceChanged
from modelyard_monitor.domain.performance import MEAN_ABSOLUTE_ERROR
from modelyard_monitor.domain.ports import Row
from modelyard_monitor.store.clickhouse import ClickHouse

MAX_EVENTS: Final = 1_000

EVENTS_SQL: Final = f"""
SELECT event_id, occurred_at, correlation_id, payload FROM {{db}}.events
WHERE model = {{model:String}} AND topic = '{DriftDetected.TOPIC}'
    AND JSONExtractString(payload, 'kind') = '{DriftKind.PERFORMANCE}'
ORDER BY occurred_at DESC, _offset DESC LIMIT 1 BY event_id LIMIT {MAX_EVENTS}"""  # noqa: S608  constants only

CHAMPIONS_SQL: Final = f"""
SELECT toUInt32(JSONExtractUInt(payload, 'version')) AS version, max(occurred_at) AS at FROM {{db}}.events
WHERE model = {{model:String}} AND topic = '{ResourceChanged.TOPIC}'
    AND JSONExtractString(payload, 'change') = '{ResourceChange.ALIAS_MOVED}'
    AND JSONExtractString(payload, 'alias') = 'champion'
GROUP BY version"""  # noqa: S608  constants only

ERRORS_SQL: Final = """
SELECT predicted_at AS at, toFloat64({error}) AS error FROM {{db}}.v_matched
WHERE model = {{model:String}} AND model_version = {{version:UInt32}} AND model_digest = {{digest:String}}
    AND variant = {{variant:String}} AND repeat = 0 AND rejected = '' AND {error} IS NOT NULL AND isFinite({error})
    AND predicted_at {when} {{moment:DateTime64(6)}}
ORDER BY predicted_at DESC, _offset DESC LIMIT {{limit:UInt32}}"""


class AlarmQueries:
    """The AlarmRows port on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def performance_events(self, model: str) -> list[Row]:
        """Return the newest performance drift events, newest first."""
        return self._clickhouse.rows(EVENTS_SQL, {"model": model})

    def champions(self, model: str) -> list[Row]:
        """Return when each version last became the champion."""
        return self._clickhouse.rows(CHAMPIONS_SQL, {"model": model})

    def errors_until(self, scope: dict[str, Any], subject: str, moment: datetime, limit: int) -> list[Row]:
        """Return the errors of the newest labelled rows predicted until a moment, newest first."""
        return self._errors(scope, subject, "<=", moment, limit)

    def errors_after(self, scope: dict[str, Any], subject: str, moment: datetime, limit: int) -> list[Row]:
        """Return the errors of the newest labelled rows predicted after a moment, newest first."""
        return self._errors(scope, subject, ">", moment, limit)

    def _errors(self, scope: dict[str, Any], subject: str, when: str, moment: datetime, limit: int) -> list[Row]:
        error = "absolute_error" if subject == MEAN_ABSOLUTE_ERROR else "wrong"
        parameters = {**scope, "moment": moment.strftime("%Y-%m-%d %H:%M:%S.%f"), "limit": limit}
        return self._clickhouse.rows(ERRORS_SQL.format(error=error, when=when), parameters)
