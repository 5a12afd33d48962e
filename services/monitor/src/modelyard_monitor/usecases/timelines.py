"""Timelines of all models, newest first, and single events."""

from collections.abc import Callable
from dataclasses import replace

from modelyard_monitor.domain.alert_list import EventRecord
from modelyard_monitor.domain.cursors import cursor_of, read_cursor
from modelyard_monitor.domain.ports import TimelineRows
from modelyard_monitor.domain.timelines import TimelineList, TimelineScope, summary_of
from modelyard_monitor.usecases.reports import Reports
from modelyard_monitor.usecases.unseen_values import UnseenValues
from modelyard_runtime.errors import NotFound


class Timelines:
    """Every method blocks; Retryable while the database is away."""

    def __init__(self, rows: TimelineRows, reports: Reports, unseen: UnseenValues) -> None:
        self._rows = rows
        self._reports = reports
        self._unseen = unseen

    def event(
        self, event_id: str, readable: Callable[[str], bool], values_readable: Callable[[str], bool]
    ) -> EventRecord:
        """Return one event of a model that is readable, NotFound otherwise; values of features only if they are too."""
        found = self._reports.event(event_id)
        if found is None or not readable(found.model):
            raise NotFound(f"no event {event_id} is stored of models that you may read", field="event_id")
        return EventRecord.of(found, self._unseen.of(found) if values_readable(found.model) else ())

    def page(self, scope: TimelineScope, after: str, limit: int) -> TimelineList:
        """Return timelines after a cursor ('' for the first page), newest first."""
        found = self._rows.newest(replace(scope, before=read_cursor(after) if after else None), limit + 1)
        items = tuple(map(summary_of, found[:limit]))
        following = cursor_of(items[-1].started_at, items[-1].correlation_id) if len(found) > limit else None
        return TimelineList(items=items, next_after=following)
