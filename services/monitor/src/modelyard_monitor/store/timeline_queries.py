"""SQL of the timeline list."""

from collections.abc import Sequence
from typing import Final

from modelyard_contracts import EvaluationFinished, ResourceChanged, RolloutChanged, TrainingRunChanged
from modelyard_monitor.domain.ports import Row
from modelyard_monitor.domain.timelines import TimelineScope
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.parameters import FIRST, IN_WORKSPACES, LAST, moment, workspaces_given
from modelyard_monitor.store.queries import EVENT_COLUMNS

STEPS: Final = ", ".join(
    f"'{one.TOPIC}'" for one in (TrainingRunChanged, EvaluationFinished, RolloutChanged, ResourceChanged)
)
"""Topics whose newest event decides how far a timeline has come."""

_RUN: Final = f"topic = '{TrainingRunChanged.TOPIC}'"
STARTED: Final = (
    f"countIf(topic IN ('{EvaluationFinished.TOPIC}', '{RolloutChanged.TOPIC}')) > 0 "
    f"OR minIf(occurred_at, {_RUN}) < maxIf(occurred_at, {_RUN})"
)
"""A run that the policy refused has one event, one that began has later ones. Times are read, as ids are far longer."""

_SCOPE: Final = f"({{model:String}} = '' OR model = {{model:String}}) AND {IN_WORKSPACES}"

_FROM: Final = "least({until:DateTime64(6)}, now64(6)) - toIntervalSecond({window_s:UInt32})"
"""Start of the window of events that are read."""
WINDOWS_S: Final = (3_600, 86_400, 30 * 86_400, 40 * 365 * 86_400)
"""Windows before the page's end, tried in turn until one has enough timelines. The last one has all events."""

_NEWEST: Final = f"""SELECT correlation_id FROM {{db}}.events WHERE {_SCOPE} AND occurred_at >= {_FROM}
    GROUP BY correlation_id
    HAVING ({{started:UInt8}} = 0 OR {STARTED}) AND min(occurred_at) >= {{since:DateTime64(6)}}
        AND (min(occurred_at) < {{until:DateTime64(6)}}
            OR min(occurred_at) = {{until:DateTime64(6)}} AND correlation_id < {{id:String}})
    ORDER BY min(occurred_at) DESC, correlation_id DESC LIMIT {{limit:UInt32}}"""  # noqa: S608  constants only
"""Candidates of a page. Some may have begun before the window, with later events in it: TIMELINES_SQL drops them, and
the next window follows if too few are left."""

TIMELINES_SQL: Final = f"""
SELECT correlation_id, min(occurred_at) AS started_at, max(occurred_at) AS last_at, uniqExact(event_id) AS events,
    argMin(event_id, (occurred_at, recorded_at, _offset)) AS first_event_id,
    argMin(topic, (occurred_at, recorded_at, _offset)) AS first_topic,
    argMin(about, (occurred_at, recorded_at, _offset)) AS model
FROM (SELECT correlation_id, occurred_at, recorded_at, event_id, topic, model AS about, _offset FROM {{db}}.events
    WHERE correlation_id IN ({_NEWEST}) AND {_SCOPE})
GROUP BY correlation_id HAVING started_at >= {_FROM}
ORDER BY started_at DESC, correlation_id DESC"""  # noqa: S608  constants only

STEPS_SQL: Final = f"""
SELECT {EVENT_COLUMNS} FROM {{db}}.events
PREWHERE correlation_id IN {{ids:Array(String)}} AND topic IN ({STEPS})
WHERE {IN_WORKSPACES}
    AND (topic != '{ResourceChanged.TOPIC}' OR JSONExtractString(payload, 'change') = 'version_moved')
ORDER BY occurred_at DESC, recorded_at DESC, _offset DESC LIMIT 1 BY correlation_id, topic"""  # noqa: S608  constants only
"""Payloads are read of these timelines' rows only (PREWHERE)."""

FIRST_SQL: Final = """
SELECT event_id, JSONExtractString(payload, 'reason') AS summary FROM {db}.events
WHERE event_id IN {first:Array(String)} LIMIT 1 BY event_id"""


class TimelineQueries:
    """The TimelineRows port on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def newest(self, scope: TimelineScope, limit: int) -> list[Row]:
        """Return correlation ids with their first event, their span and their number of events, newest first."""
        until, correlation_id = scope.before or (None, "")
        parameters = {
            "model": scope.model,
            "since": moment(scope.since) if scope.since else FIRST,
            "until": moment(until) if until else LAST,
            "id": correlation_id,
            "started": int(scope.started),
            "limit": limit,
            **workspaces_given(scope.workspaces),
        }
        found: list[Row] = []
        for window_s in WINDOWS_S:  # most pages need the newest hour of events, not all that are stored
            found = self._clickhouse.rows(TIMELINES_SQL, {**parameters, "window_s": window_s})
            if len(found) >= limit:
                break
        return found

    def steps(self, correlation_ids: Sequence[str], scope: TimelineScope) -> list[Row]:
        """Return the newest event of each step of these timelines."""
        parameters = {"ids": list(correlation_ids), **workspaces_given(scope.workspaces)}
        return self._clickhouse.rows(STEPS_SQL, parameters)

    def reasons(self, event_ids: Sequence[str]) -> dict[str, str]:
        """Return the reason of each of these events."""
        found = self._clickhouse.rows(FIRST_SQL, {"first": list(event_ids)})
        return {row["event_id"]: row["summary"] for row in found}
