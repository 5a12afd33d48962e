"""Stalled members and brokers that go away: the counts still add up."""

import asyncio
import contextlib
import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import text

from modelyard_devstack.testing import DevServer, eventually, remains
from modelyard_runtime.database import Database
from modelyard_runtime.errors import Retryable
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka.topics import create_topics

pytestmark = [pytest.mark.server, pytest.mark.slow]
SESSION_MS = 3_000
ENTITIES = "abcdef"
"""Their events are in all partitions."""


class InThread:
    """A consumer with an event loop of its own, so that it can be stalled while the other one runs."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await self._make().run(self._stop)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)


def in_thread() -> bool:
    return threading.current_thread() is not threading.main_thread()


async def send_numbers(toys: Any, numbers: range) -> None:
    for number in numbers:
        for entity in ENTITIES:
            await toys.send(entity, [number])


async def test_a_stalled_member_neither_loses_nor_doubles_an_effect(toys: Any, database: Database) -> None:
    """Its event loop is blocked past its session, another takes over; what it still does is dropped by the inbox."""
    stalls = late = 0
    taken_over = threading.Event()

    async def effect(message: Any, context: Any) -> None:
        nonlocal stalls, late
        stalled = in_thread() and message.number in (20, 60) and not taken_over.is_set()
        if stalled:
            stalls += 1
            taken_over.wait(60)  # blocks the whole event loop of this member
        with database.transaction() as tx:
            if tx.inbox.claim("toyreader", message.event_id):
                row = {"n": f"{message.entity}-{message.number}"}
                tx.connection.execute(text("INSERT INTO things (name, value) VALUES (:n, 1)"), row)
        late += stalled

    def done() -> int:
        with database.read() as connection:
            return int(connection.execute(text("SELECT count(*) FROM things")).scalar_one())

    await send_numbers(toys, range(40))
    with InThread(lambda: toys.consumer(effect, session_timeout_ms=SESSION_MS)):
        await eventually(lambda: stalls == 1)
        async with toys.consuming(effect, session_timeout_ms=SESSION_MS) as second:
            await eventually(lambda: done() == 40 * len(ENTITIES), 60)
            taken_over.set()
            await eventually(lambda: late == 1)
            await eventually(lambda: len(second.assignment()) < 3, 60, what="the first member is back")

            taken_over.clear()
            await send_numbers(toys, range(40, 80))
            await eventually(lambda: stalls == 2, 60)
            await eventually(lambda: done() == 80 * len(ENTITIES), 60)
            taken_over.set()
            await eventually(lambda: late == 2)
    assert done() == 80 * len(ENTITIES)
    assert await toys.committed() == 80 * len(ENTITIES)
    assert await toys.dead_letters() == []


async def test_a_broker_that_is_killed_and_comes_back_loses_nothing(
    own_devkafka: DevServer, toy_topic: Any, unique: str
) -> None:
    seen: Counter[int] = Counter()
    toys = toy_topic(own_devkafka.bootstrap, f"toy.{unique}")
    await create_topics(toys.bootstrap, {toys.name: (3, {})})
    await toys.send("a", range(10))
    async with toys.consuming(lambda message, _: seen.update([message.number])):
        await eventually(lambda: len(seen) == 10)
        own_devkafka.kill()
        sending = asyncio.create_task(_insist(toys, range(10, 20)))
        await remains(lambda: not sending.done(), 3.0, what="events wait for the broker")
        await asyncio.to_thread(own_devkafka.start)
        await sending
        await eventually(lambda: len(seen) == 20, 60)
    await toys.producer.stop()


async def _insist(toys: Any, numbers: range) -> None:
    """Send each number until it is acknowledged."""
    for number in numbers:

        async def sent(number: int = number) -> bool:
            with contextlib.suppress(Retryable):
                await toys.send("a", [number])
                return True
            return False

        await eventually(sent, 60)


async def test_a_consumer_started_before_its_broker_says_so_and_connects_later(
    own_devkafka: DevServer, toy_topic: Any, unique: str
) -> None:
    seen: list[int] = []
    readiness = Readiness()
    toys = toy_topic(own_devkafka.bootstrap, f"toy.{unique}")
    own_devkafka.kill()
    async with toys.consuming(lambda message, _: seen.append(message.number), readiness=readiness):
        await eventually(lambda: not readiness.ready)
        assert "not connected" in str(readiness.as_dict())
        await asyncio.to_thread(own_devkafka.start)
        await create_topics(toys.bootstrap, {toys.name: (1, {})})
        await toys.send("a", [1])
        await eventually(lambda: seen == [1], 60)
        assert readiness.ready
    await toys.producer.stop()
