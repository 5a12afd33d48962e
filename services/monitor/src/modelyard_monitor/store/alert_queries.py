"""SQL of the alert list."""

from typing import Final

from modelyard_contracts import AlertRaised, DriftDetected
from modelyard_monitor.domain.alert_list import AlertScope
from modelyard_monitor.domain.ports import Row
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.parameters import FIRST, IN_WORKSPACES, LAST, moment, workspaces_given
from modelyard_monitor.store.queries import EVENT_COLUMNS
from modelyard_monitor.store.windows import WINDOW_START, rows_in_windows

NEWEST_SQL: Final = f"""
SELECT event_id, any(model) AS of_model, any(occurred_at) AS at FROM {{db}}.events
WHERE topic IN ('{DriftDetected.TOPIC}', '{AlertRaised.TOPIC}')
    AND ({{model:String}} = '' OR model = {{model:String}}) AND {IN_WORKSPACES}
    AND ({{kind:String}} = '' OR {{kind:String}} = JSONExtractString(summary,
        if(topic = '{DriftDetected.TOPIC}', 'kind', 'alert')))
    AND ({{severity:String}} = '' OR {{severity:String}} = JSONExtractString(summary, 'severity'))
    AND occurred_at >= greatest({{since:DateTime64(6)}}, {WINDOW_START})
    AND (occurred_at < {{until:DateTime64(6)}} OR occurred_at = {{until:DateTime64(6)}} AND event_id < {{id:String}})
GROUP BY event_id ORDER BY at DESC, event_id DESC LIMIT {{limit:UInt32}}"""  # noqa: S608  constants only
"""The alarms of a page, found without a payload: alarms of all models stand among all other events."""

ALERTS_SQL: Final = f"""
SELECT {EVENT_COLUMNS} FROM {{db}}.events
WHERE event_id IN {{ids:Array(String)}} AND model IN {{models:Array(String)}}
    AND occurred_at >= {{first:DateTime64(6)}} AND occurred_at <= {{last:DateTime64(6)}}
ORDER BY occurred_at DESC, event_id DESC LIMIT 1 BY event_id"""  # noqa: S608  constants only
"""Model and time are in the key of the table; the bloom filter alone has a false hit for many ids nearly everywhere."""


class AlertQueries:
    """The AlertRows port on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def newest(self, scope: AlertScope, limit: int) -> list[Row]:
        """Return drift and alert events, newest first."""
        until, event_id = scope.before or (None, "")
        parameters = {
            "model": scope.model,
            "since": moment(scope.since) if scope.since else FIRST,
            "until": moment(until) if until else LAST,
            "id": event_id,
            "limit": limit,
            "kind": scope.kind,
            "severity": scope.severity,
            **workspaces_given(scope.workspaces),
        }
        found = rows_in_windows(self._clickhouse, NEWEST_SQL, parameters, limit)
        if not found:
            return []
        span = {"first": moment(found[-1]["at"]), "last": moment(found[0]["at"])}
        ids, models = [row["event_id"] for row in found], sorted({row["of_model"] for row in found})
        return self._clickhouse.rows(ALERTS_SQL, {"ids": ids, "models": models, **span})
