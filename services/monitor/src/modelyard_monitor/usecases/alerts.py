"""Drifts and alerts of all models."""

import json
from dataclasses import replace

from modelyard_monitor.domain.alert_list import Alert, AlertList, AlertScope
from modelyard_monitor.domain.cursors import cursor_of, read_cursor
from modelyard_monitor.domain.ports import AlertRows, Row
from modelyard_monitor.domain.reports import RecordedEvent


class Alerts:
    """Every method blocks; Retryable while the database is away."""

    def __init__(self, rows: AlertRows) -> None:
        self._rows = rows

    def page(self, scope: AlertScope, after: str, limit: int) -> AlertList:
        """Return drifts and alerts after a cursor ('' for the first page), newest first."""
        found = self._rows.newest(replace(scope, before=read_cursor(after) if after else None), limit + 1)
        items = tuple(map(_alert, found[:limit]))
        following = cursor_of(items[-1].occurred_at, items[-1].event_id) if len(found) > limit else None
        return AlertList(items=items, next_after=following)


def _alert(row: Row) -> Alert:
    return Alert.of(RecordedEvent(**{**row, "payload": json.loads(row["payload"])}))
