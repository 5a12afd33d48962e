"""Committed offsets, including those pending in a transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from modelyard_devkafka.storage.journal import Journal, Key
from modelyard_devkafka.storage.partition import now_ms

Where = tuple[str, int]  # topic, partition


class Committed(NamedTuple):
    """A group's commit for one partition."""

    offset: int
    metadata: str
    leader_epoch: int = -1
    at_ms: int = 0


NOTHING: Final = Committed(-1, "")


class Offsets:
    """Offsets per group, in the journal before the commit is acknowledged."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._groups: dict[str, dict[Where, Committed]] = {}
        self._pending: dict[tuple[str, Where], set[int]] = {}
        for (_, group, topic, index), value in journal.items("offset"):
            self._groups.setdefault(str(group), {})[str(topic), int(index)] = Committed(*value)

    def groups(self) -> list[str]:
        return [group for group, offsets in self._groups.items() if offsets]

    def of(self, group: str) -> dict[Where, Committed]:
        return self._groups.get(group, {})

    def facts(self, group: str, offsets: dict[Where, Committed]) -> list[tuple[Key, object]]:
        """Return the commit as journal entries, to be written together with others."""
        return [(("offset", group, *where), list(committed)) for where, committed in offsets.items()]

    def take(self, group: str, offsets: dict[Where, Committed]) -> None:
        """Make a journalled commit visible."""
        self._groups.setdefault(group, {}).update(offsets)

    def commit(self, group: str, offsets: dict[Where, Committed]) -> None:
        """Raises StorageFailed if nothing was committed."""
        if offsets:
            self._journal.put(*self.facts(group, offsets))
            self.take(group, offsets)

    def hold(self, group: str, partitions: Iterable[Where], producer_id: int) -> None:
        """Mark partitions with offsets pending in an open transaction."""
        for where in partitions:
            self._pending.setdefault((group, where), set()).add(producer_id)

    def release(self, group: str, partitions: Iterable[Where], producer_id: int) -> None:
        for where in partitions:
            producers = self._pending.get((group, where), set())
            producers.discard(producer_id)
            if not producers:
                self._pending.pop((group, where), None)

    def unstable(self, group: str, where: Where) -> bool:
        """Return whether an open transaction may still change the offset."""
        return (group, where) in self._pending

    def forget(self, group: str, partitions: Iterable[Where] | None = None) -> None:
        """Delete a group's offsets, or some of them."""
        offsets = self._groups.get(group, {})
        gone = [where for where in (list(offsets) if partitions is None else partitions) if where in offsets]
        self._journal.remove([("offset", group, *where) for where in gone])
        for where in gone:
            del offsets[where]
        if not offsets:
            self._groups.pop(group, None)

    def forget_topic(self, topic: str) -> None:
        for group in list(self._groups):
            self.forget(group, [where for where in self._groups[group] if where[0] == topic])

    def expire(self, retention_ms: int, *, living: Iterable[str]) -> None:
        """Expire offsets of groups without members, like Kafka's offsets.retention.minutes."""
        oldest = now_ms() - retention_ms
        for group in set(self._groups) - set(living):
            self.forget(group, [where for where, kept in self._groups[group].items() if kept.at_ms < oldest])
