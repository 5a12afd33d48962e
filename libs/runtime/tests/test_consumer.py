"""The consumer loop on a broker: what is delivered, how often, in which order, and what stops it."""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner

from modelyard_devstack.testing import eventually, remains
from modelyard_runtime.errors import Invalid, Retryable
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import DeadLetters, resend_dead_letters

pytestmark = pytest.mark.server


class Seen:
    """What handlers have seen, per entity, in order."""

    def __init__(self) -> None:
        self.of: dict[str, list[int]] = defaultdict(list)

    def __call__(self, message: Any, context: Any) -> None:
        self.of[message.entity].append(message.number)

    @property
    def count(self) -> int:
        return sum(map(len, self.of.values()))


async def test_events_arrive_in_order_of_their_key_and_are_not_read_again_after_a_restart(toys: Any) -> None:
    for number in range(30):
        await toys.send(f"entity-{number % 5}", [number])
    first, second = Seen(), Seen()

    async with toys.consuming(first):
        await eventually(lambda: first.count == 30)
    await toys.send("entity-0", [30])
    async with toys.consuming(second):
        await eventually(lambda: second.count == 1)

    assert {entity: sorted(numbers) for entity, numbers in first.of.items()} == first.of
    assert second.of == {"entity-0": [30]}


async def test_async_handlers_are_awaited_and_see_the_context(toys: Any) -> None:
    contexts = []

    async def handler(message: Any, context: Any) -> None:
        await asyncio.sleep(0)
        contexts.append(context)

    message = toys.make("a", 1)
    await toys.producer.send(message)
    async with toys.consuming(handler):
        await eventually(lambda: contexts)

    [context] = contexts
    assert context.correlation_id == message.event_id
    assert (context.received.key, context.received.headers["ce_id"]) == ("a", str(message.event_id))
    assert context.received.headers["ce_source"] == "toywriter"


async def test_a_retryable_error_is_tried_again_in_place_and_nothing_overtakes_it(toys: Any) -> None:
    seen, tries = Seen(), 0

    def handler(message: Any, context: Any) -> None:
        nonlocal tries
        if message.number == 2 and (tries := tries + 1) < 4:
            raise Retryable("the database is away")
        seen(message, context)

    await toys.send("a", range(5))
    async with toys.consuming(handler):
        await eventually(lambda: seen.count == 5)

    assert seen.of["a"] == [0, 1, 2, 3, 4]
    assert tries == 4
    assert await toys.dead_letters() == []


async def test_what_is_waited_for_and_the_lag_can_be_read_also_while_nothing_moves(
    toys: Any, readiness: Readiness
) -> None:
    seen, away = Seen(), True

    def handler(message: Any, context: Any) -> None:
        if away:
            raise Retryable("the database is away")
        seen(message, context)

    def detail() -> str:
        checks: Any = readiness.as_dict()["checks"]
        return str(checks.get(f"consumer {toys.group}", {}).get("detail", ""))

    await toys.send("a", range(3))
    async with toys.consuming(handler, readiness=readiness) as consumer:
        records_unread = _records_unread(consumer)
        await eventually(lambda: "the database is away" in detail())
        assert readiness.ready
        await toys.send("a", range(3, 8))  # not fetched by the client: only the broker knows of them
        await eventually(records_unread)
        assert await records_unread() == 8
        [oldest] = [lag.oldest_ms for lag in (await consumer.batches.lag()).values() if lag.oldest_ms is not None]
        assert abs(time.time() * 1000 - oldest) < 60_000

        away = False
        await eventually(lambda: seen.count == 8)
        await eventually(lambda: not detail())
        await _end_a_transaction(toys)  # its mark takes an offset, and is no record that a handler gets
        await eventually(lambda: seen.count == 9)
        await eventually(async_not(records_unread))
        assert {(lag.records, lag.oldest_ms) for lag in (await consumer.batches.lag()).values()} == {(0, None)}


async def test_the_lag_does_not_wait_for_the_open_fetch(toys: Any) -> None:
    """A fetch without records is answered after half a second: on its connection, four questions take two seconds."""
    seen = Seen()
    await toys.send("a", range(3))
    async with toys.consuming(seen) as consumer:
        await eventually(lambda: seen.count == 3)
        await eventually(async_not(_records_unread(consumer)))
        begun = time.monotonic()
        for _ in range(4):
            assert await _records_unread(consumer)() == 0
        assert time.monotonic() - begun < 1.5


async def _end_a_transaction(toys: Any) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=toys.bootstrap, transactional_id=toys.name)
    await producer.start()
    async with producer.transaction():
        await producer.send(toys.name, toys.codec.encode(toys.make("a", 8)), key=b"a")
    await producer.stop()


def _records_unread(consumer: Any) -> Callable[[], Awaitable[int]]:
    async def records() -> int:
        return sum(lag.records or 0 for lag in (await consumer.batches.lag()).values())

    return records


def async_not(asked: Any) -> Any:
    async def no() -> bool:
        return not await asked()

    return no


async def test_a_long_retry_keeps_the_partition_and_the_group(toys: Any) -> None:
    """Longer than the session time-out: heartbeats go on while a batch waits."""
    seen, since = Seen(), time.monotonic()

    def handler(message: Any, context: Any) -> None:
        if time.monotonic() - since < 4:
            raise Retryable("away")
        seen(message, context)

    await toys.send("a", range(3))
    async with toys.consuming(handler, session_timeout_ms=1_500) as consumer:
        await eventually(lambda: consumer.assignment())
        given = consumer.assignment()
        await eventually(lambda: seen.count == 3)
        assert consumer.assignment() == given
    assert seen.of["a"] == [0, 1, 2]


async def test_an_unknown_exception_stops_its_partition_only_and_resume_goes_on_from_there(
    toys: Any, readiness: Readiness
) -> None:
    seen, broken = Seen(), True

    def handler(message: Any, context: Any) -> None:
        if message.entity == "bad" and message.number == 1 and broken:
            raise ZeroDivisionError("a bug")
        seen(message, context)

    await toys.producer.send(toys.make("bad", 0))
    async with toys.consuming(handler, readiness=readiness) as consumer:
        await toys.send("bad", [1, 2])
        for entity in ("b", "c", "d", "e"):
            await toys.send(entity, range(5))
        await eventually(lambda: consumer.stopped_partitions())
        [(where, why)] = consumer.stopped_partitions().items()
        others = _entities_elsewhere(where[1])
        await eventually(lambda: all(seen.of[entity] == [0, 1, 2, 3, 4] for entity in others))

        assert "ZeroDivisionError" in why
        assert not readiness.ready
        assert seen.of["bad"] == [0]
        assert await toys.dead_letters() == []

        broken = False
        assert consumer.resume() == 1
        await eventually(lambda: seen.count == 23)
        assert readiness.ready
    assert seen.of["bad"] == [0, 1, 2]
    assert all(seen.of[entity] == [0, 1, 2, 3, 4] for entity in ("b", "c", "d", "e"))


def _entities_elsewhere(partition: int) -> set[str]:
    """Those of b to e whose events are in other partitions, of three."""
    partitions, choose = [0, 1, 2], DefaultPartitioner()
    place = {entity: choose(entity.encode(), partitions, partitions) for entity in ("b", "c", "d", "e")}
    return {entity for entity, where in place.items() if where != partition}


async def test_a_restart_tries_a_stopped_partition_again_from_the_record_that_stopped_it(toys: Any) -> None:
    seen = Seen()

    def fails(message: Any, context: Any) -> None:
        if message.number == 2:
            raise KeyError("a bug")
        seen(message, context)

    await toys.send("a", range(4))
    async with toys.consuming(fails) as consumer:
        await eventually(lambda: consumer.stopped_partitions())
    async with toys.consuming(seen):
        await eventually(lambda: seen.count == 4)
    assert seen.of["a"] == [0, 1, 2, 3]


BAD = {
    "malformed": b"rubbish",
    "truncated": b'{}{"event_id": "0',
    "wrong schema": b'{}{"other": 1}',
    "empty": b"",
    "oversized": b"{}" + b"x" * 5_000,
}


@pytest.mark.parametrize("kind", BAD)
async def test_bytes_that_are_no_message_become_dead_letters_with_a_reason_and_the_rest_goes_on(
    toys: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard_runtime.kafka.events.MAX_RECORD_BYTES", 4_000)
    seen = Seen()
    await toys.send("a", [1])
    await toys.send_raw(BAD[kind])
    await toys.send("a", [2])
    async with toys.consuming(
        seen,
    ):
        await eventually(lambda: seen.count == 2)

    [letter] = await toys.dead_letters()
    assert (letter.topic, letter.offset, letter.key, letter.value) == (toys.name, 1, b"a", BAD[kind])
    assert letter.reason.split(":")[0] == ("Oversized" if kind == "oversized" else "Undecodable")


async def test_a_tombstone_is_passed_over(toys: Any) -> None:
    seen = Seen()
    await toys.send_raw(None)
    await toys.send("a", [1])
    async with toys.consuming(seen):
        await eventually(lambda: seen.count == 1)
    assert await toys.dead_letters() == []


async def test_our_own_error_becomes_a_dead_letter_and_can_be_sent_again(toys: Any) -> None:
    seen, fixed = Seen(), False

    def handler(message: Any, context: Any) -> None:
        if message.number % 2 and not fixed:
            raise Invalid(f"number {message.number} is odd")
        seen(message, context)

    await toys.send("a", range(5))
    async with toys.consuming(handler):
        await eventually(lambda: seen.count == 3)
        letters = await eventually(toys.dead_letters)
        assert [letter.reason for letter in letters] == ["Invalid: number 1 is odd", "Invalid: number 3 is odd"]

        fixed = True
        assert await resend_dead_letters(toys.bootstrap, toys.name, "toyreader", limit=1) == 1
        await eventually(lambda: seen.of["a"] == [0, 2, 4, 1])
        [left] = await toys.dead_letters()
        assert left.offset == 3
        assert await resend_dead_letters(toys.bootstrap, toys.name, "toyreader") == 1
        assert await resend_dead_letters(toys.bootstrap, toys.name, "toyreader") == 0
        await eventually(lambda: seen.of["a"] == [0, 2, 4, 1, 3])


async def test_dead_letters_of_an_unknown_topic_are_none(toys: Any) -> None:
    assert await toys.dead_letters() == []
    assert await resend_dead_letters(toys.bootstrap, toys.name, "unknown") == 0


async def test_past_the_limit_of_dead_letters_in_a_row_the_partition_stops_and_loses_nothing(toys: Any) -> None:
    seen = Seen()
    for _ in range(7):
        await toys.send_raw(b"rubbish", key="a")
    await toys.send("a", [1])
    letters = DeadLetters(toys.bootstrap, "toyreader", max_consecutive=3)
    async with toys.consuming(seen, dead_letters=letters) as consumer:
        await eventually(lambda: consumer.stopped_partitions())
        [why] = consumer.stopped_partitions().values()
        assert "3 in a row" in why
        assert len(await toys.dead_letters()) == 3
        assert seen.count == 0

        consumer.resume()  # after a check by hand: three more may go
        await eventually(lambda: not consumer.stopped_partitions())
        await eventually(lambda: consumer.stopped_partitions())
        assert len(await toys.dead_letters()) == 6
    assert await toys.committed() == 6


async def test_more_bad_than_good_stops_the_partition_too(toys: Any) -> None:
    seen = Seen()
    for number in range(10):
        await toys.send_raw(b"rubbish")
        await toys.send_raw(b"rubbish")
        await toys.send("a", [number])
    letters = DeadLetters(toys.bootstrap, "toyreader", max_consecutive=5, max_ratio=0.5)
    async with toys.consuming(seen, dead_letters=letters) as consumer:
        await eventually(lambda: consumer.stopped_partitions())
        [why] = consumer.stopped_partitions().values()
        assert "of the last 10" in why


async def test_a_dead_letter_that_cannot_be_written_stops_the_partition(toys: Any) -> None:
    seen = Seen()
    await toys.send_raw(b"rubbish")
    await toys.send("a", [1])
    letters = DeadLetters("127.0.0.1:1", "toyreader", write_timeout_s=5)
    async with toys.consuming(seen, dead_letters=letters) as consumer:
        await eventually(lambda: consumer.stopped_partitions())
        [why] = consumer.stopped_partitions().values()
        assert "could not be written" in why
    assert seen.count == 0
    assert await toys.committed() == 0


async def test_members_that_come_and_go_lose_nothing_and_keep_the_order_of_keys(toys: Any, run_consumers: Any) -> None:
    """Rebalances repeat events at most; what is new comes in order."""
    seen: dict[str, list[int]] = defaultdict(list)
    repeats, rebalanced = 0, asyncio.Event()

    def handler(message: Any, context: Any) -> None:
        nonlocal repeats
        time.sleep(0.002)  # sleep: the work of a handler, so that a rebalance finds a batch in hand
        if message.number in seen[message.entity]:
            repeats += 1
        else:
            seen[message.entity].append(message.number)

    def handled() -> int:
        return sum(map(len, seen.values()))

    async def produce() -> int:
        """Send until both rebalances are over, a little faster than it is handled; returns the events per entity."""
        number = 0
        while number < 60 or not rebalanced.is_set():
            for entity in "abcdef":
                await toys.send(entity, [number])
            number += 1
            await eventually(lambda sent=6 * number: handled() > sent - 60)  # type: ignore[misc]
        return number

    async with toys.consuming(handler, max_batch_records=5):
        producing = asyncio.create_task(produce())
        for _ in range(2):
            async with toys.consuming(handler, max_batch_records=5) as second:
                await eventually(second.assignment)
                before = handled()
                await eventually(lambda enough=before + 30: handled() > enough)  # type: ignore[misc]
        rebalanced.set()
        sent = await producing
        await eventually(lambda: handled() == 6 * sent, 60)

    assert [seen[entity] for entity in "abcdef"] == [list(range(sent))] * 6
    assert repeats == 0, "orderly rebalances finish and commit what is in hand"


async def test_a_handler_that_outlives_the_rebalance_is_not_joined_by_a_second_one(toys: Any) -> None:
    """A thread cannot be cancelled: the partition's next batch waits for it, so keys keep their order."""
    at_once = most = calls = 0
    go = threading.Event()

    def slow(message: Any, context: Any) -> None:
        nonlocal at_once, most, calls
        calls, at_once = calls + 1, at_once + 1
        most = max(most, at_once)
        go.wait(60)
        at_once -= 1

    await toys.send("a", [1])
    async with toys.consuming(slow, max_poll_interval_ms=300) as consumer:
        await eventually(lambda: at_once)
        async with toys.joined():  # revokes, and assigns again, all partitions of the first member
            await eventually(consumer.assignment)
            await remains(lambda: calls == 1, 2.0, what="the next batch waits for the handler")
            go.set()
            await eventually(lambda: calls == 2)
    assert most == 1
