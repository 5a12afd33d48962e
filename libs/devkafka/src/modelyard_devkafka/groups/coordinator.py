"""All consumer groups of the broker."""

from __future__ import annotations

import time

from modelyard_devkafka.errors import Code, Refused, StorageFailed
from modelyard_devkafka.groups.group import Group, State
from modelyard_devkafka.groups.offsets import Committed, Offsets, Where
from modelyard_devkafka.storage.journal import Journal

OFFSETS_RETENTION_MS = 7 * 24 * 3600 * 1000  # Kafka's default


class Coordinator:
    """Finds groups, stores their generations, ends expired sessions."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.offsets = Offsets(journal)
        self.groups = {str(name): Group.from_json(str(name), kept) for (_, name), kept in journal.items("group")}

    def group(self, group_id: str, *, create: bool = False) -> Group:
        """Raises Refused for an empty id or an unknown group, which has no members."""
        if not group_id:
            raise Refused(Code.INVALID_GROUP_ID)
        if group_id not in self.groups:
            if not create:
                raise Refused(Code.UNKNOWN_MEMBER_ID)
            self.groups[group_id] = Group(group_id)
        return self.groups[group_id]

    def store(self, group: Group) -> None:
        """Store a complete generation, so that its members need not rejoin after a restart."""
        if group.changed and group.state in (State.STABLE, State.EMPTY):
            self._journal.put((("group", group.id), group.to_json()))
            group.changed = False

    def check_commit(
        self, group_id: str, member_id: str, instance_id: str | None, generation: int, *, transactional: bool
    ) -> None:
        """Raises Refused. Clients that claim no membership may write to a group that does not exist."""
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
        """All groups, including those with offsets only."""
        names: dict[str, Group | None] = dict.fromkeys(self.offsets.groups())
        return {**names, **self.groups}

    def delete(self, group_id: str) -> None:
        """Raises Refused if the group has members or does not exist."""
        group = self.groups.get(group_id)
        if group is None and not self.offsets.of(group_id):
            raise Refused(Code.GROUP_ID_NOT_FOUND)
        if group is not None and group.state is not State.EMPTY:
            raise Refused(Code.NON_EMPTY_GROUP)
        self._journal.remove([("group", group_id)])
        self.offsets.forget(group_id)
        self.groups.pop(group_id, None)

    def sweep(self) -> None:
        """Called every few tens of milliseconds."""
        now = time.monotonic()
        for group in list(self.groups.values()):
            group.sweep(now)
            try:
                self.store(group)
            except StorageFailed:
                continue  # writers receive the error; the next sweep tries again

    def expire(self) -> None:
        """Called every few minutes: expire old offsets of groups without members."""
        living = [group.id for group in self.groups.values() if group.members]
        self.offsets.expire(OFFSETS_RETENTION_MS, living=living)
        for group_id, group in list(self.groups.items()):
            if group.state is State.EMPTY and not group.pending and not self.offsets.of(group_id):
                self._journal.remove([("group", group_id)])
                del self.groups[group_id]
