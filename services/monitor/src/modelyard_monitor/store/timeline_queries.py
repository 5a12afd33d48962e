"""SQL of the timeline list."""

from typing import Final

from modelyard_contracts import ControlMessage, EvaluationFinished, ResourceChanged, RolloutChanged, TrainingRunChanged
from modelyard_monitor.domain.ports import Row
from modelyard_monitor.domain.timelines import TimelineScope
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.parameters import FIRST, IN_WORKSPACES, LAST, moment, workspaces_given
from modelyard_monitor.store.windows import WINDOW_START, rows_in_windows

_RUN: Final = f"topic = '{TrainingRunChanged.TOPIC}'"
STARTED: Final = (
    f"countIf(topic IN ('{EvaluationFinished.TOPIC}', '{RolloutChanged.TOPIC}')) > 0 "
    f"OR minIf(occurred_at, {_RUN}) < maxIf(occurred_at, {_RUN})"
)
"""A run that the policy refused has one event, one that began has later ones. Times are read, as ids are far longer."""

_SCOPE: Final = f"({{model:String}} = '' OR model = {{model:String}}) AND {IN_WORKSPACES}"

NEWEST_SQL: Final = f"""SELECT correlation_id FROM {{db}}.events WHERE {_SCOPE} AND occurred_at >= {WINDOW_START}
    GROUP BY correlation_id
    HAVING ({{started:UInt8}} = 0 OR {STARTED}) AND min(occurred_at) >= {{since:DateTime64(6)}}
        AND (min(occurred_at) < {{until:DateTime64(6)}}
            OR min(occurred_at) = {{until:DateTime64(6)}} AND correlation_id < {{id:String}})
    ORDER BY min(occurred_at) DESC, correlation_id DESC LIMIT {{limit:UInt32}}"""  # noqa: S608  constants only
"""Candidates of a page. Some may have begun before the window, with later events in it: TIMELINES_SQL drops them, and
the next window follows if too few are left."""

_AT: Final = "(occurred_at, recorded_at, _offset)"
"""Order of the events of a timeline."""


def _newest_of(event: type[ControlMessage], condition: str = "") -> str:
    """Summary of the newest event of a topic; '' if there is none."""
    return f"argMaxIf(summary, {_AT}, topic = '{event.TOPIC}'{condition})"


TIMELINES_SQL: Final = f"""
SELECT correlation_id, min(occurred_at) AS started_at, max(occurred_at) AS last_at, uniqExact(event_id) AS events,
    argMin(event_id, {_AT}) AS first_event_id, argMin(topic, {_AT}) AS first_topic, argMin(about, {_AT}) AS model,
    argMin(summary, {_AT}) AS first, {_newest_of(TrainingRunChanged)} AS run,
    {_newest_of(EvaluationFinished)} AS evaluation, {_newest_of(RolloutChanged)} AS rollout,
    {_newest_of(ResourceChanged, " AND JSONExtractString(summary, 'change') = 'version_moved'")} AS moved
FROM (SELECT correlation_id, occurred_at, recorded_at, event_id, topic, model AS about, summary, _offset
    FROM {{db}}.events WHERE correlation_id IN ({NEWEST_SQL}) AND {_SCOPE})
GROUP BY correlation_id HAVING started_at >= {WINDOW_START}
ORDER BY started_at DESC, correlation_id DESC"""  # noqa: S608  constants only


class TimelineQueries:
    """The TimelineRows port on ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    def newest(self, scope: TimelineScope, limit: int) -> list[Row]:
        """Return correlation ids, newest first, each with its span, its number of events and summaries (JSON or '').

        The summaries are those of the first event and of the newest event of each step.
        """
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
        return rows_in_windows(self._clickhouse, TIMELINES_SQL, parameters, limit)
