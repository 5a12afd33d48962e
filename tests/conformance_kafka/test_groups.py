"""Consumer groups."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.structs import OffsetAndMetadata

from modelyard_devkafka.errors import Code
from modelyard_devkafka.testing import RawClient
from modelyard_devkafka.wire.group_apis import (
    DELETE_GROUPS,
    DESCRIBE_GROUPS,
    HEARTBEAT,
    JOIN_GROUP,
    LEAVE_GROUP,
    LIST_GROUPS,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    SYNC_GROUP,
)
from modelyard_devkafka.wire.schema import Message
from modelyard_devstack.testing import eventually, remains

from .kit import SESSION_MS, Kit, partition, take

pytestmark = pytest.mark.server


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Counts assignments."""

    def __init__(self) -> None:
        self.assigned: list[set[TopicPartition]] = []

    def on_partitions_revoked(self, revoked: Any) -> None:
        pass

    def on_partitions_assigned(self, assigned: Any) -> None:
        self.assigned.append(set(assigned))


def balanced(count: int, *consumers: AIOKafkaConsumer) -> bool:
    sets: list[frozenset[TopicPartition]] = [consumer.assignment() for consumer in consumers]
    held = {tp for assigned in sets for tp in assigned}
    shared: bool = sum(map(len, sets)) == count == len(held)
    return shared and min(map(len, sets)) > 0


async def polling(consumer: AIOKafkaConsumer) -> None:
    """Poll like a live member: aiokafka rejoins in the background only while records are fetched."""
    while True:
        await consumer.getmany(timeout_ms=200)


async def test_offsets_and_metadata_survive_the_consumer(kit: Kit) -> None:
    topic, group = await kit.topic(), kit.unique("group")
    await kit.fill(topic, 50)
    first = await kit.consumer(topic, group_id=group)
    await take(first, 20)
    await first.commit({partition(topic): OffsetAndMetadata(20, "because")})
    await first.stop()
    second = await kit.consumer(topic, group_id=group)
    assert (await take(second, 1))[0].offset == 20
    admin = await kit.admin()
    assert await admin.list_consumer_group_offsets(group) == {partition(topic): OffsetAndMetadata(20, "because")}


@pytest.mark.parametrize("assignor", [RangePartitionAssignor, RoundRobinPartitionAssignor, StickyPartitionAssignor])
async def test_partitions_are_shared_when_members_come_and_go(kit: Kit, assignor: type) -> None:
    topic, group = await kit.topic(6), kit.unique("group")
    options = {"group_id": group, "partition_assignment_strategy": (assignor,)}
    first = await kit.consumer(topic, **options)
    await eventually(lambda: balanced(6, first))
    second = await kit.consumer(topic, **options)
    third = await kit.consumer(topic, **options)
    await eventually(lambda: balanced(6, first, second, third), 60)
    await second.stop()
    await eventually(lambda: balanced(6, first, third), 60)


async def test_a_group_starts_again_at_once_after_all_members_left(kit: Kit) -> None:
    topic, group = await kit.topic(2), kit.unique("group")
    took_s = []
    for _ in range(4):
        started = time.monotonic()
        consumer = await kit.consumer(topic, group_id=group)
        await eventually(lambda c=consumer: balanced(2, c))  # type: ignore[misc]
        took_s.append(time.monotonic() - started)
        await consumer.stop()
    assert min(took_s[1:]) < 5, "sooner than a session ends"


async def test_a_member_killed_is_replaced_after_its_session(kit: Kit) -> None:
    topic, group = await kit.topic(2), kit.unique("group")
    worker = Path(__file__).parent / "workers" / "member.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(worker), kit.bootstrap, topic, group, str(SESSION_MS), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 60) == b"joined\n"
    consumer = await kit.consumer(topic, group_id=group)
    await eventually(lambda: len(consumer.assignment()) == 1, 60, what="one partition each")
    os.kill(process.pid, signal.SIGKILL)
    killed = time.monotonic()
    await eventually(lambda: len(consumer.assignment()) == 2, 60, what="both partitions")
    assert SESSION_MS / 1000 - 1 < time.monotonic() - killed < SESSION_MS / 1000 + 20
    await process.wait()


async def test_auto_commit_works_while_the_group_rebalances(kit: Kit) -> None:
    topic, group = await kit.topic(4), kit.unique("group")
    await kit.fill(topic, 2_000, partitions=4)
    options = {"group_id": group, "enable_auto_commit": True, "auto_commit_interval_ms": 50}
    first = await kit.consumer(topic, **options)
    tasks = [asyncio.create_task(polling(first))]
    second = await kit.consumer(topic, **options)
    tasks.append(asyncio.create_task(polling(second)))
    await eventually(lambda: balanced(4, first, second), 60)
    admin = await kit.admin()

    async def all_committed() -> bool:
        offsets = await admin.list_consumer_group_offsets(group)
        return bool(sum(committed.offset for committed in offsets.values()) == 2_000)

    await eventually(all_committed, 60)
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_static_member_that_restarts_gets_its_partitions_back_without_a_rebalance(kit: Kit) -> None:
    topic, group = await kit.topic(4), kit.unique("group")
    seen = Rebalances()
    one = await kit.consumer(topic, group_id=group, group_instance_id="i1", listener=seen)
    two = await kit.consumer(topic, group_id=group, group_instance_id="i2")
    await eventually(lambda: balanced(4, one, two) and seen.assigned[-1] == one.assignment(), 60)
    had, events = two.assignment(), len(seen.assigned)
    await two.stop()
    again = await kit.consumer(topic, group_id=group, group_instance_id="i2")
    assert again.assignment() == had
    await remains(lambda: len(seen.assigned) == events, 2, what="no rebalance of the other member")


async def test_groups_are_listed_described_and_deleted(kit: Kit) -> None:
    topic, group = await kit.topic(2), kit.unique("group")
    consumer = await kit.consumer(topic, group_id=group, client_id="me")
    await take_nothing(consumer)
    await consumer.commit({partition(topic): 0})
    with RawClient(kit.bootstrap) as raw:
        [described] = raw.ask(DESCRIBE_GROUPS, 4, groups=[group])["groups"]
        assert (described["group_state"], described["protocol_type"]) == ("Stable", "consumer")
        [member] = described["members"]
        assert member["client_id"] == "me" and bytes(member["member_assignment"])
        assert (group, "consumer") in [(g["group_id"], g["protocol_type"]) for g in raw.ask(LIST_GROUPS, 2)["groups"]]
        [deleted] = raw.ask(DELETE_GROUPS, 1, groups=[group])["groups"]
        assert deleted["error_code"] == Code.NON_EMPTY_GROUP
        await consumer.stop()
        stable = raw.ask(LIST_GROUPS, 4, states_filter=["Stable"])["groups"]
        assert group not in [g["group_id"] for g in stable]
        codes = [raw.ask(DELETE_GROUPS, 1, groups=[group])["groups"][0]["error_code"] for _ in range(2)]
        assert codes == [Code.NONE, Code.GROUP_ID_NOT_FOUND]
        topics = [{"name": topic, "partitions": [0]}]
        [fetched] = raw.ask(OFFSET_FETCH, 5, group_id=group, topics=topics)["topics"][0]["partitions"]
        assert fetched["committed_offset"] == -1
        assert raw.ask(DELETE_GROUPS, 1, groups=[group])["groups"][0]["error_code"] == Code.GROUP_ID_NOT_FOUND
        [dead] = raw.ask(DESCRIBE_GROUPS, 4, groups=[group])["groups"]
        assert dead["group_state"] == "Dead"


async def take_nothing(consumer: AIOKafkaConsumer) -> None:
    await eventually(lambda: bool(consumer.assignment()))
    await consumer.getmany(timeout_ms=10)


class Member:
    """One member of a group, step by step."""

    def __init__(self, raw: RawClient, group: str, instance_id: str | None = None) -> None:
        self.raw, self.group, self.instance_id = raw, group, instance_id
        self.id, self.generation = "", -1

    def _who(self) -> Message:
        return {
            "group_id": self.group, "generation_id": self.generation, "member_id": self.id,
            "group_instance_id": self.instance_id,
        }  # fmt: skip

    def join(self, version: int = 5, protocols: tuple[str, ...] = ("range",), kind: str = "consumer") -> Message:
        reply = self.raw.ask(
            JOIN_GROUP, version, **self._who(), session_timeout_ms=6_000, rebalance_timeout_ms=10_000,
            protocol_type=kind, protocols=[{"name": name, "metadata": b"meta"} for name in protocols],
        )  # fmt: skip
        if reply["error_code"] == Code.MEMBER_ID_REQUIRED:
            self.id = reply["member_id"]
            return self.join(version, protocols, kind)
        if reply["error_code"] == 0:
            self.id, self.generation = reply["member_id"], reply["generation_id"]
        return reply

    def sync(self) -> Message:
        assignments = [{"member_id": self.id, "assignment": b"mine"}]
        return self.raw.ask(SYNC_GROUP, 3, **self._who(), assignments=assignments)

    def heartbeat(self) -> int:
        return int(self.raw.ask(HEARTBEAT, 3, **self._who())["error_code"])

    def commit(self, topic: str) -> int:
        item = {"index": 0, "committed_offset": 1, "committed_leader_epoch": -1, "committed_metadata": ""}
        reply = self.raw.ask(OFFSET_COMMIT, 7, **self._who(), topics=[{"name": topic, "partitions": [item]}])
        return int(reply["topics"][0]["partitions"][0]["error_code"])

    def leave(self) -> int:
        return int(self.raw.ask(LEAVE_GROUP, 1, group_id=self.group, member_id=self.id)["error_code"])


async def test_each_step_of_a_member_is_checked(kit: Kit) -> None:
    topic, group = await kit.topic(), kit.unique("group")
    with RawClient(kit.bootstrap) as raw:
        member = Member(raw, group)
        joined = member.join()
        assert (joined["leader"], [m["member_id"] for m in joined["members"]]) == (member.id, [member.id])
        assert member.commit(topic) == Code.REBALANCE_IN_PROGRESS, "before the assignment"
        assert bytes(member.sync()["assignment"]) == b"mine"
        assert (member.heartbeat(), member.commit(topic)) == (0, 0)
        member.generation += 1
        assert (member.heartbeat(), member.commit(topic)) == (Code.ILLEGAL_GENERATION,) * 2
        member.generation -= 1
        stranger = Member(raw, group)
        assert stranger.commit(topic) == Code.UNKNOWN_MEMBER_ID, "nobody commits for a living group"
        stranger.id, stranger.generation = "who", member.generation
        assert (stranger.heartbeat(), stranger.commit(topic)) == (Code.UNKNOWN_MEMBER_ID,) * 2
        assert Member(raw, group).join(kind="connect")["error_code"] == Code.INCONSISTENT_GROUP_PROTOCOL
        assert Member(raw, group).join(protocols=("other",))["error_code"] == Code.INCONSISTENT_GROUP_PROTOCOL
        assert member.leave() == 0
        assert member.leave() == Code.UNKNOWN_MEMBER_ID
        assert Member(raw, group).commit(topic) == 0, "an empty group takes offsets of those who claim no membership"
        assert Member(raw, kit.unique("group")).commit(topic) == 0
        unknown = Member(raw, kit.unique("group"))
        unknown.generation = 3
        assert unknown.commit(topic) == Code.ILLEGAL_GENERATION


async def test_members_learn_of_a_rebalance_from_their_heartbeats(kit: Kit) -> None:
    topic, group = await kit.topic(), kit.unique("group")
    with RawClient(kit.bootstrap) as one, RawClient(kit.bootstrap) as two:
        first, second = Member(one, group), Member(two, group)
        first.join()
        first.sync()
        joining = asyncio.get_running_loop().run_in_executor(None, second.join)
        await eventually(lambda: first.heartbeat() == Code.REBALANCE_IN_PROGRESS)
        assert first.commit(topic) == 0, "what was done before may be said until the new generation begins"
        first.join()
        await joining
        assert (first.generation, second.generation) == (2, 2)
        assert first.heartbeat() == 0


async def test_a_twin_of_a_static_member_fences_the_older_one(kit: Kit) -> None:
    topic, group = await kit.topic(), kit.unique("group")
    with RawClient(kit.bootstrap) as raw:
        old, new = Member(raw, group, "i"), Member(raw, group, "i")
        old.join()
        old.sync()
        assert old.heartbeat() == 0
        reply = new.join()
        assert (reply["error_code"], new.generation) == (0, old.generation)
        assert reply["leader"] != new.id, "a stable group takes no new assignment"
        assert bytes(new.sync()["assignment"]) == b"mine"
        assert (old.heartbeat(), old.commit(topic)) == (Code.FENCED_INSTANCE_ID,) * 2
        assert old.join()["error_code"] == Code.FENCED_INSTANCE_ID
        assert (new.heartbeat(), new.commit(topic)) == (0, 0)


def test_a_session_timeout_out_of_range_is_refused(kit: Kit) -> None:
    with RawClient(kit.bootstrap) as raw:
        reply = raw.ask(
            JOIN_GROUP, 5, group_id=kit.unique("group"), session_timeout_ms=1, rebalance_timeout_ms=1, member_id="",
            protocol_type="consumer", protocols=[{"name": "range", "metadata": b""}],
        )  # fmt: skip
    assert reply["error_code"] == Code.INVALID_SESSION_TIMEOUT
