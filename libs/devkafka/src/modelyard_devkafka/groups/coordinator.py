"""All consumer groups of the broker."""

from __future__ import annotations

import time

from modelyard_devkafka.errors import Code, Refused, StorageFailed
from modelyard_devkafka.groups.group import Group, State
from modelyard_devkafka.groups.offsets import Committed, Offsets, Where
from modelyard_devkafka.storage.journal import Journal

OFFSETS_RETENTION_MS = 7 * 24 * 3600 * 1000  # Kafka's default


class Coordinator:
    """Finds groups, stores their generations, ends what is over."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.offsets = Offsets(journal)
        self.groups = {str(name): Group.from_json(str(name), kept) for (_, name), kept in journal.items("group")}

    def group(self, group_id: str, *, create: bool = False) -> Group:
        """Raises Refused: no id, or no such group (then nobody is a member of it)."""
        if not group_id:
            raise Refused(Code.INVALID_GROUP_ID)
        if group_id not in self.groups:
            if not create:
                raise Refused(Code.UNKNOWN_MEMBER_ID)
            self.groups[group_id] = Group(group_id)
        return self.groups[group_id]

    def store(self, group: Group) -> None:
        """Keep a generation that is complete, so that its members need not join again after a restart."""
        if group.changed and group.state in (State.STABLE, State.EMPTY):
            self._journal.put((("group", group.id), group.to_json()))
            group.changed = False

    def check_commit(
        self, group_id: str, member_id: str, instance_id: str | None, generation: int, *, transactional: bool
    ) -> None:
        """Raises Refused. A group that does not exist may be written by those who claim no membership."""
        if not group_id:
            raise Refused(Code.INVALID_GROUP_ID)
        group = self.groups.get(group_id)
        if group is not None:
            group.check_commit(member_id, instance_id, generation, transactional=transactional)
        elif generation >= 0:
            raise Refused(Code.ILLEGAL_GENERATION)

    def commit(self, group_id: str, offsets: dict[Where, Committed]) -> None:
        self.offsets.commit(group_id, offsets)

    def known(self) -> dict[str, Group | None]:
        """All groups, also those that only have offsets."""
        names: dict[str, Group | None] = dict.fromkeys(self.offsets.groups())
        return {**names, **self.groups}

    def delete(self, group_id: str) -> None:
        """Raises Refused when it has members or does not exist."""
        group = self.groups.get(group_id)
        if group is None and not self.offsets.of(group_id):
            raise Refused(Code.GROUP_ID_NOT_FOUND)
        if group is not None and group.state is not State.EMPTY:
            raise Refused(Code.NON_EMPTY_GROUP)
        self._journal.remove([("group", group_id)])
        self.offsets.forget(group_id)
        self.groups.pop(group_id, None)

    def sweep(self) -> None:
        """Every few tens of milliseconds."""
        now = time.monotonic()
        for group in list(self.groups.values()):
            group.sweep(now)
            try:
                self.store(group)
            except StorageFailed:
                continue  # said to those who write; tried again with the next sweep

    def expire(self) -> None:
        """Every few minutes: groups without members whose offsets are old."""
        living = [group.id for group in self.groups.values() if group.members]
        self.offsets.expire(OFFSETS_RETENTION_MS, living=living)
        for group_id, group in list(self.groups.items()):
            if group.state is State.EMPTY and not group.pending and not self.offsets.of(group_id):
                self._journal.remove([("group", group_id)])
                del self.groups[group_id]
