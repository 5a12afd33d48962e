"""Lists of events, newest first, that read the newest hour first instead of all events that are stored."""

from collections.abc import Mapping
from typing import Any, Final

from modelyard_monitor.domain.ports import Row
from modelyard_monitor.store.clickhouse import ClickHouse

WINDOW_START: Final = "least({until:DateTime64(6)}, now64(6)) - toIntervalSecond({window_s:UInt32})"
"""Start of the window of events that are read."""
WINDOWS_S: Final = (3_600, 6 * 3_600, 2 * 86_400, 30 * 86_400, 40 * 365 * 86_400)
"""Windows before the page's end, tried in turn until one has enough rows. The last one has all events."""


def rows_in_windows(clickhouse: ClickHouse, sql: str, parameters: Mapping[str, Any], limit: int) -> list[Row]:
    """Return at most `limit` rows of a query that reads events since WINDOW_START; parameters: with `until`."""
    found: list[Row] = []
    for window_s in WINDOWS_S:
        found = clickhouse.rows(sql, {**parameters, "window_s": window_s})
        if len(found) >= limit:
            break
    return found
