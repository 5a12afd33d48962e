"""Performance alarms of a model: which are open, since when, and where the change lies. Pure.

An alarm is the unbroken series of performance drift events of one version, variant and subject. It is open until the
errors are back, another version became the champion, or no event has come for `expire`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import fmean
from typing import Any

from modelyard_monitor.domain.change_point import Split


class AlarmState(StrEnum):
    """Whether an alarm is open, or why it is not."""

    OPEN = "open"
    RECOVERED = "recovered"
    """The newest labels have an error in the lower half of the rise."""
    REPLACED = "replaced"
    """Another version became the champion after the last event."""
    EXPIRED = "expired"
    """No event has come for a long time, and no labels show a recovery."""


@dataclass(frozen=True)
class Episode:
    """The events of one alarm."""

    version: int
    digest: str
    variant: str
    subject: str
    since: datetime
    """Moment of the first event."""
    last: dict[str, Any]
    """The newest event: a row of table `events` with its decoded payload."""

    @property
    def last_at(self) -> datetime:
        moment: datetime = self.last["occurred_at"]
        return moment

    @property
    def window_end(self) -> datetime:
        """Prediction time of the newest rows that the last event has seen."""
        return datetime.fromisoformat(self.last["payload"]["window_end"])


def episodes(events: Sequence[dict[str, Any]], expire: timedelta) -> list[Episode]:
    """Return the newest alarm per version, variant and subject. events: newest first, with decoded payloads."""
    found: dict[tuple[int, str, str, str], Episode] = {}
    ended: set[tuple[int, str, str, str]] = set()
    for event in events:
        payload = event["payload"]
        key = (payload["model_version"], payload["model_digest"], payload["variant"], payload["subject"])
        if key not in found:
            found[key] = Episode(*key, since=event["occurred_at"], last=event)
        elif key not in ended and found[key].since - event["occurred_at"] <= expire:
            found[key] = Episode(*key, since=event["occurred_at"], last=found[key].last)
        else:
            ended.add(key)
    return list(found.values())


def state_of(
    episode: Episode,
    champions: dict[int, datetime],
    rise: Split | None,
    newer: Sequence[float],
    now: datetime,
    *,
    expire: timedelta,
    min_labels: int,
) -> AlarmState:
    """Return the state of an alarm.

    champions: version to the moment when it last became the champion. newer: errors of rows predicted after the last
    event, the newest ones. min_labels: fewer of them show nothing.
    """
    others = [at for version, at in champions.items() if version != episode.version]
    if any(at > episode.last_at for at in others):
        return AlarmState.REPLACED
    if rise is not None and len(newer) >= min_labels and fmean(newer) < (rise.before + rise.after) / 2:
        return AlarmState.RECOVERED
    return AlarmState.EXPIRED if now - episode.last_at > expire else AlarmState.OPEN
