"""What needs an administrator: services, ingest, dead letters and keys that are not as they should be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from modelyard import ApiKeyInfo, DeadLetters, ServiceState
from modelyard_console.domain import links
from modelyard_console.domain.formats import number, seconds

BEHIND_S: Final = 60.0
"""Age of the oldest record that is not stored from which the monitor is behind."""
EXPIRES: Final = timedelta(days=14)
"""How long before its end a key is named."""


@dataclass(frozen=True)
class Care:
    """One thing to look at. link: where to do something about it."""

    level: Literal["bad", "warn"]
    what: str
    why: str
    link: str


@dataclass(frozen=True)
class TopicLag:
    """One topic that a consumer group of the monitor reads, over its partitions."""

    group: str
    topic: str
    partitions: int
    lag_records: int | None
    """None: not known yet."""
    lag_s: float | None
    stopped: tuple[str, ...]
    """Why partitions stopped."""

    @property
    def behind(self) -> bool:
        return bool(self.stopped) or (self.lag_s or 0.0) >= BEHIND_S


def topics_of(ingest: Mapping[str, Any]) -> list[TopicLag]:
    """Lag by topic; those that stopped or are behind come first."""
    found = []
    for consumer in ingest.get("consumers", ()):
        stopped = consumer.get("stopped") or {}
        partitions = consumer.get("partitions", ())
        for topic in dict.fromkeys(one["topic"] for one in partitions):
            own = [one for one in partitions if one["topic"] == topic]
            reasons = [stopped[key] for one in own if (key := f"{topic}[{one['partition']}]") in stopped]
            ages = [one.get("lag_s") for one in own]
            records = [one.get("lag_records") for one in own]
            lag_s, lag = (_most(ages), _sum(records))
            found.append(TopicLag(consumer["group"], topic, len(own), lag, lag_s, tuple(dict.fromkeys(reasons))))
    return sorted(found, key=lambda one: (not one.stopped, not one.behind))


def _most(values: list[float | None]) -> float | None:
    return max((one for one in values if one is not None), default=None)


def _sum(values: list[int | None]) -> int | None:
    known = [one for one in values if one is not None]
    return sum(known) if known else None


def of_service(name: str, state: ServiceState | None, reason: str) -> Iterable[Care]:
    """state: None while the service is away, for `reason`."""
    if state is None:
        yield Care("bad", f"The {name} is away", reason, links.services())
    elif not state.ready:
        checks = [f"{check}: {one.detail or 'no details'}" for check, one in state.checks.items() if not one.ok]
        yield Care("bad", f"The {name} is not ready", "; ".join(checks), links.services())


def of_ingest(topics: Iterable[TopicLag], ingest: Mapping[str, Any]) -> Iterable[Care]:
    """Partitions that stopped, topics that are behind, rows that were stored twice."""
    for one in topics:
        if one.stopped:
            yield Care("bad", f"{one.group} stopped at {one.topic}", "; ".join(one.stopped), links.services())
        elif one.behind:
            why = f"The oldest of {number(one.lag_records)} records waits for {seconds(one.lag_s)}."
            yield Care("warn", f"{one.group} is behind at {one.topic}", why, links.services())
    twice = [one for one in ingest.get("stored", ()) if one["rows"] != one["distinct_offsets"]]
    if twice:
        names = ", ".join(dict.fromkeys(one["topic"] for one in twice))
        yield Care("bad", "Rows were stored twice", f"In {names}.", links.services())


def of_letters(service: str, found: DeadLetters) -> Iterable[Care]:
    """Dead letters that wait at a service."""
    if count := sum(topic.count for topic in found.topics):
        what = f"{number(count)} dead letter{'s' if count != 1 else ''} at the {service}"
        why = found.items[0].reason if found.items else ""
        yield Care("bad", what, why, f"{links.DEAD_LETTERS}#{service}")


def of_keys(keys: Iterable[ApiKeyInfo], now: datetime) -> Iterable[Care]:
    """Keys that end soon and were not replaced."""
    keys = list(keys)
    replaced = {key.replaces for key in keys}
    for key in keys:
        ends = key.expires_at
        if ends is None or key.revoked_at is not None or key.id in replaced or not now < ends <= now + EXPIRES:
            continue
        days = (ends - now).days
        when = f"in {days} day{'s' if days != 1 else ''}" if days else "within a day"
        yield Care("warn", f"The key of {key.name} ends {when}", "", links.keys())
