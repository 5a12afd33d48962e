"""The performance alarms of a model."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Any, Final

from modelyard_monitor.domain.alarms import AlarmState, Episode, episodes, state_of
from modelyard_monitor.domain.change_point import Split, rise_of
from modelyard_monitor.domain.ports import AlarmRows, Row
from modelyard_monitor.domain.reports import PerformanceAlarm
from modelyard_monitor.domain.rules import MIN_LABELS

LOOK_BACK_LABELS: Final = 10_000
"""Labelled rows, the newest ones until the alarm, among which the change is searched."""


class Alarms:
    """Every method blocks; Retryable while the database is away."""

    def __init__(
        self, rows: AlarmRows, clock: Callable[[], datetime], *, expire_days: float = 7.0, window_labels: int = 500
    ) -> None:
        self._rows, self._clock = rows, clock
        self._expire, self._window_labels = timedelta(days=expire_days), window_labels

    def of(self, model: str, version: int | None = None, *, closed: bool = False) -> list[PerformanceAlarm]:
        """Return the newest alarm per version, variant and subject, newest first; only open ones unless `closed`."""
        events = [{**_utc(row), "payload": json.loads(row["payload"])} for row in self._rows.performance_events(model)]
        found = [one for one in episodes(events, self._expire) if version in (None, one.version)]
        if not found:
            return []
        champions = {row["version"]: row["at"].replace(tzinfo=UTC) for row in self._rows.champions(model)}
        alarms = [self._alarm(model, one, champions) for one in found]
        return [alarm for alarm in alarms if closed or alarm.state is AlarmState.OPEN]

    def _alarm(self, model: str, episode: Episode, champions: dict[int, datetime]) -> PerformanceAlarm:
        scope = {"model": model, "version": episode.version, "digest": episode.digest, "variant": episode.variant}
        until = self._rows.errors_until(scope, episode.subject, episode.window_end, LOOK_BACK_LABELS)[::-1]
        after = self._rows.errors_after(scope, episode.subject, episode.window_end, self._window_labels)
        rise, newer = rise_of([row["error"] for row in until]), [row["error"] for row in after]
        state = state_of(episode, champions, rise, newer, self._clock(), expire=self._expire, min_labels=MIN_LABELS)
        return _report(episode, state, rise, until, newer)


def _utc(row: Row) -> Row:
    return {**row, "occurred_at": row["occurred_at"].replace(tzinfo=UTC)}


def _report(
    episode: Episode, state: AlarmState, rise: Split | None, until: list[Row], newer: list[float]
) -> PerformanceAlarm:
    payload: dict[str, Any] = episode.last["payload"]
    return PerformanceAlarm(
        version=episode.version,
        digest=episode.digest,
        variant=episode.variant,
        subject=episode.subject,
        state=state,
        severity=payload["severity"],
        since=episode.since,
        last_event_at=episode.last_at,
        event_id=episode.last["event_id"],
        correlation_id=episode.last["correlation_id"],
        reason=payload["reason"],
        recommendation=payload.get("recommendation", ""),
        change_point=until[rise.place]["at"].replace(tzinfo=UTC) if rise else None,
        error_before=rise.before if rise else None,
        error_after=rise.after if rise else None,
        labels_after_change=len(until) - rise.place if rise else None,
        error_now=fmean(newer) if newer else None,
        labels_now=len(newer),
    )
