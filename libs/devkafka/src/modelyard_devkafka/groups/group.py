"""The state machine of one consumer group (Kafka's "classic" protocol)."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from modelyard_devkafka.errors import Code, Refused
from modelyard_devkafka.groups.member import Member, Protocols
from modelyard_devkafka.wire.schema import Message


class State(StrEnum):
    """Names as DescribeGroups shows them."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"  # members must rejoin
    COMPLETING = "CompletingRebalance"  # all have joined, the leader has yet to assign
    STABLE = "Stable"


@dataclass(frozen=True)
class JoinRequest:
    """A JoinGroup request. `id_first`: newer clients are given an id and join again with it."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    session_ms: int
    rebalance_ms: int
    protocol_type: str
    protocols: Protocols
    id_first: bool


class MemberIdRequired(Refused):
    """Rejoin with this id."""

    def __init__(self, member_id: str) -> None:
        super().__init__(Code.MEMBER_ID_REQUIRED)
        self.member_id = member_id


class Group:
    """Members, generation and assignment. Methods run on the loop; times are of the monotonic clock, in seconds."""

    def __init__(self, group_id: str) -> None:
        self.id, self.state, self.generation = group_id, State.EMPTY, 0
        self.protocol_type, self.protocol, self.leader = "", "", ""
        self.members: dict[str, Member] = {}
        self.statics: dict[str, str] = {}
        self.pending: dict[str, float] = {}
        self.deadline = 0.0
        self.changed = False  # a generation to be stored

    # Joining

    def join(self, ask: JoinRequest) -> asyncio.Future[Message]:
        """Return a reply that resolves when the generation is complete. Raises Refused."""
        self._check_protocols(ask)
        if ask.member_id:
            return self._join_again(ask)
        if ask.instance_id is not None and ask.instance_id in self.statics:
            return self._replace_static(ask, ask.instance_id)
        member_id = f"{ask.instance_id or ask.client_id}-{uuid.uuid4()}"
        if ask.instance_id is None and ask.id_first:
            self.pending[member_id] = time.monotonic() + ask.session_ms / 1000
            raise MemberIdRequired(member_id)
        return self._add(member_id, ask)

    def _check_protocols(self, ask: JoinRequest) -> None:
        if self.state is State.EMPTY:
            fits = bool(ask.protocols) and bool(ask.protocol_type)
        else:
            others = [member for member in self.members.values() if member.id != ask.member_id]
            common = {name for name, _ in ask.protocols}
            common.intersection_update(*({name for name, _ in member.protocols} for member in others))
            fits = bool(common) and ask.protocol_type == self.protocol_type
        if not fits:
            raise Refused(Code.INCONSISTENT_GROUP_PROTOCOL)

    def _join_again(self, ask: JoinRequest) -> asyncio.Future[Message]:
        if ask.instance_id is not None:
            self._check_instance(ask.instance_id, ask.member_id)
        if self.pending.pop(ask.member_id, None) is not None:
            return self._add(ask.member_id, ask)
        member = self._known(ask.member_id)
        same = member.protocols == ask.protocols
        member.joining = reply = asyncio.get_running_loop().create_future()
        member.protocols, member.session_ms, member.rebalance_ms = ask.protocols, ask.session_ms, ask.rebalance_ms
        if self.state is State.PREPARING:
            self._maybe_complete()
        elif same and (self.state is State.COMPLETING or ask.member_id != self.leader):
            self._answer_join(member)  # its reply was lost, or it repeats the request
        else:
            self._rebalance()
        return reply

    def _add(self, member_id: str, ask: JoinRequest) -> asyncio.Future[Message]:
        member = Member(
            member_id, ask.instance_id, ask.client_id, ask.host, ask.session_ms, ask.rebalance_ms, ask.protocols
        )
        member.joining = reply = asyncio.get_running_loop().create_future()
        self._touch(member)
        self.members[member_id] = member
        self.leader = self.leader or member_id
        self.protocol_type = ask.protocol_type
        if ask.instance_id is not None:
            self.statics[ask.instance_id] = member_id
        self._rebalance()
        return reply

    def _replace_static(self, ask: JoinRequest, instance_id: str) -> asyncio.Future[Message]:
        """Readmit a static member: it takes its old place under a new id; users of the old id are fenced."""
        old_id, new_id = self.statics[instance_id], f"{instance_id}-{uuid.uuid4()}"
        member = self.members.pop(old_id)
        member.answer_join(_refusal(Code.FENCED_INSTANCE_ID, old_id))
        member.answer_sync({"error_code": Code.FENCED_INSTANCE_ID})
        member.id, self.statics[instance_id], self.members[new_id] = new_id, new_id, member
        member.protocols, member.session_ms, member.rebalance_ms = ask.protocols, ask.session_ms, ask.rebalance_ms
        member.client_id, member.host = ask.client_id, ask.host
        member.joining = reply = asyncio.get_running_loop().create_future()
        self._touch(member)
        old_leader, self.leader = self.leader, new_id if self.leader == old_id else self.leader
        if self.state is State.STABLE and self._select_protocol() == self.protocol:
            self.changed = True
            self._answer_join(member, leader=old_leader)  # never the leader: a stable group accepts no new assignment
        elif self.state is State.PREPARING:
            self._maybe_complete()
        else:
            self._rebalance()
        return reply

    # Rebalancing

    def _rebalance(self) -> None:
        for member in self.members.values():
            member.answer_sync({"error_code": Code.REBALANCE_IN_PROGRESS})
        self.state = State.PREPARING
        self.deadline = time.monotonic() + self._rebalance_seconds()
        self._maybe_complete()

    def _rebalance_seconds(self) -> float:
        return max((member.rebalance_ms for member in self.members.values()), default=0) / 1000

    def _maybe_complete(self) -> None:
        if not self.pending and all(member.joining for member in self.members.values()):
            self._complete()

    def _complete(self) -> None:
        """Start the next generation with the members that joined; a static member may join until its session ends."""
        for member in [m for m in self.members.values() if m.joining is None and m.instance_id is None]:
            self._drop(member)
        joined = [member for member in self.members.values() if member.joining is not None]
        if self.members and not joined:
            self.deadline = time.monotonic() + self._rebalance_seconds()
            return
        self.generation, self.changed = self.generation + 1, True
        if not self.members:
            self.state, self.protocol, self.leader = State.EMPTY, "", ""
            return
        if self.members[self.leader].joining is None:
            self.leader = joined[0].id
        self.state, self.protocol = State.COMPLETING, self._select_protocol()
        self.deadline = time.monotonic() + self._rebalance_seconds()
        for member in joined:
            self._answer_join(member)

    def _select_protocol(self) -> str:
        """The protocol that all members support and most prefer."""
        known = [[name for name, _ in member.protocols] for member in self.members.values()]
        common = set(known[0]).intersection(*known[1:])
        votes = Counter(next(name for name in names if name in common) for names in known if common)
        return votes.most_common(1)[0][0] if votes else ""

    def _answer_join(self, member: Member, leader: str | None = None) -> None:
        self._touch(member)
        leads = leader is None and member.id == self.leader
        others = [
            {"member_id": m.id, "group_instance_id": m.instance_id, "metadata": m.metadata(self.protocol)}
            for m in (self.members.values() if leads else ())
        ]
        reply = {
            "error_code": Code.NONE,
            "generation_id": self.generation,
            "protocol_name": self.protocol,
            "leader": leader or self.leader,
            "member_id": member.id,
            "members": others,
        }
        member.answer_join(reply)

    def sync(
        self, member_id: str, instance_id: str | None, generation: int, assignments: dict[str, bytes]
    ) -> asyncio.Future[Message]:
        """Return a reply that resolves once the leader has assigned partitions. Raises Refused."""
        member = self.check_member(member_id, instance_id, generation)
        if self.state is State.PREPARING:
            raise Refused(Code.REBALANCE_IN_PROGRESS)
        member.syncing = reply = asyncio.get_running_loop().create_future()
        if self.state is State.COMPLETING and member_id == self.leader:
            for each in self.members.values():
                each.assignment = assignments.get(each.id, b"")
            self.state, self.changed = State.STABLE, True
        if self.state is State.STABLE:
            for each in self.members.values():
                self._touch(each) if each.syncing else None
                each.answer_sync({"error_code": Code.NONE, "assignment": each.assignment})
        return reply

    # Staying and leaving

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int) -> None:
        """Raises Refused; REBALANCE_IN_PROGRESS means the member must rejoin."""
        member = self.check_member(member_id, instance_id, generation)
        self._touch(member)
        if self.state is State.PREPARING:
            raise Refused(Code.REBALANCE_IN_PROGRESS)

    def leave(self, member_id: str, instance_id: str | None) -> None:
        """Raises Refused. A static member may be identified by its instance id alone."""
        if instance_id is not None and not member_id:
            if instance_id not in self.statics:
                raise Refused(Code.UNKNOWN_MEMBER_ID)
            member_id = self.statics[instance_id]
        elif instance_id is not None:
            self._check_instance(instance_id, member_id)
        if self.pending.pop(member_id, None) is None:
            self._drop(self._known(member_id))
            self._after_drop()
        elif self.state is State.PREPARING:
            self._maybe_complete()

    def _drop(self, member: Member) -> None:
        del self.members[member.id]
        if member.instance_id is not None:
            self.statics.pop(member.instance_id, None)
        if self.leader == member.id:
            self.leader = next(iter(self.members), "")
        member.answer_join(_refusal(Code.UNKNOWN_MEMBER_ID, member.id))
        member.answer_sync({"error_code": Code.UNKNOWN_MEMBER_ID})

    def _after_drop(self) -> None:
        if self.state is State.PREPARING:
            self._maybe_complete()
        elif self.state is not State.EMPTY:
            self._rebalance()

    def sweep(self, now: float) -> None:
        """End expired sessions and waits."""
        gone = [member_id for member_id, until in self.pending.items() if until < now]
        for member_id in gone:
            del self.pending[member_id]
        dead = [member for member in self.members.values() if member.deadline < now and not member.waiting]
        for member in dead:
            self._drop(member)
        if dead:
            self._after_drop()
        if self.state is State.PREPARING and (gone or self.deadline < now):
            self._complete() if self.deadline < now else self._maybe_complete()
        elif self.state is State.COMPLETING and self.deadline < now:
            for member in [member for member in self.members.values() if member.syncing is None]:
                self._drop(member)
            self._rebalance()

    # Checks

    def check_member(self, member_id: str, instance_id: str | None, generation: int) -> Member:
        """Return the member if its ids and generation are current. Raises Refused."""
        if instance_id is not None:
            self._check_instance(instance_id, member_id)
        member = self._known(member_id)
        if generation != self.generation:
            raise Refused(Code.ILLEGAL_GENERATION)
        return member

    def check_commit(self, member_id: str, instance_id: str | None, generation: int, *, transactional: bool) -> None:
        """Raises Refused unless offsets may be committed."""
        if generation < 0 and self.state is State.EMPTY:
            return
        if generation >= 0 or member_id or instance_id is not None:
            self._touch(self.check_member(member_id, instance_id, generation))
        elif not transactional:
            raise Refused(Code.UNKNOWN_MEMBER_ID)
        if self.state is State.COMPLETING and not transactional:
            raise Refused(Code.REBALANCE_IN_PROGRESS)

    def _known(self, member_id: str) -> Member:
        if member_id not in self.members:
            raise Refused(Code.UNKNOWN_MEMBER_ID)
        return self.members[member_id]

    def _check_instance(self, instance_id: str, member_id: str) -> None:
        if instance_id not in self.statics:
            raise Refused(Code.UNKNOWN_MEMBER_ID)
        if self.statics[instance_id] != member_id:
            raise Refused(Code.FENCED_INSTANCE_ID)

    def _touch(self, member: Member) -> None:
        member.deadline = time.monotonic() + member.session_ms / 1000

    # Persistence

    def to_json(self) -> dict[str, Any]:
        return {
            "generation": self.generation, "protocol_type": self.protocol_type, "protocol": self.protocol,
            "leader": self.leader, "members": [member.to_json() for member in self.members.values()],
        }  # fmt: skip

    @classmethod
    def from_json(cls, group_id: str, kept: dict[str, Any]) -> Group:
        """Restore a stored group; its members have one full session to return."""
        group = cls(group_id)
        group.generation, group.protocol_type = kept["generation"], kept["protocol_type"]
        group.protocol, group.leader = kept["protocol"], kept["leader"]
        for member in map(Member.from_json, kept["members"]):
            group.members[member.id] = member
            group._touch(member)
            if member.instance_id is not None:
                group.statics[member.instance_id] = member.id
        group.state = State.STABLE if group.members else State.EMPTY
        return group


def _refusal(code: Code, member_id: str) -> Message:
    return {"error_code": code, "protocol_name": "", "leader": "", "member_id": member_id, "members": []}
