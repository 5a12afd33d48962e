"""SQL of the alert list."""

from typing import Final

from modelyard_contracts import AlertRaised, DriftDetected
from modelyard_monitor.domain.alert_list import AlertScope
from modelyard_monitor.domain.ports import Row
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.parameters import FIRST, IN_WORKSPACES, LAST, moment, workspaces_given
from modelyard_monitor.store.queries import EVENT_COLUMNS

ALERTS_SQL: Final = f"""
SELECT {EVENT_COLUMNS} FROM {{db}}.events
WHERE topic IN ('{DriftDetected.TOPIC}', '{AlertRaised.TOPIC}')
    AND ({{model:String}} = '' OR model = {{model:String}}) AND {IN_WORKSPACES}
    AND ({{kind:String}} = '' OR {{kind:String}} = if(topic = '{DriftDetected.TOPIC}',
        JSONExtractString(payload, 'kind'), JSONExtractString(payload, 'alert')))
    AND ({{severity:String}} = '' OR {{severity:String}} = JSONExtractString(payload, 'severity'))
    AND occurred_at >= {{since:DateTime64(6)}}
    AND (occurred_at < {{until:DateTime64(6)}} OR occurred_at = {{until:DateTime64(6)}} AND event_id < {{id:String}})
ORDER BY occurred_at DESC, event_id DESC LIMIT 1 BY event_id LIMIT {{limit:UInt32}}"""  # noqa: S608  constants only


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
        return self._clickhouse.rows(ALERTS_SQL, parameters)
