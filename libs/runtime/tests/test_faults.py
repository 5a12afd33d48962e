"""Stalled members and brokers that go away: the counts still add up."""

import asyncio
import threading
import time
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import text

from modelyard_devstack.testing import DevServer, eventually
from modelyard_runtime.database import Database
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka.topics import create_topics

pytestmark = [pytest.mark.server, pytest.mark.slow]
SESSION_MS = 3_000
STALL_S = 4


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


async def test_a_stalled_member_neither_loses_nor_doubles_an_effect(toys: Any, database: Database) -> None:
    """Its event loop is blocked past its session, another takes over; what it still does is dropped by the inbox."""
    stalls = 0

    async def effect(message: Any, context: Any) -> None:
        nonlocal stalls
        if threading.current_thread() is not threading.main_thread() and message.number in (20, 60):
            stalls += 1
            time.sleep(STALL_S)  # noqa: ASYNC251  blocking the loop is the point
        with database.transaction() as tx:
            if tx.inbox.claim("toyreader", message.event_id):
                row = {"n": f"{message.entity}-{message.number}"}
                tx.connection.execute(text("INSERT INTO things (name, value) VALUES (:n, 1)"), row)

    def done() -> int:
        with database.read() as connection:
            return int(connection.execute(text("SELECT count(*) FROM things")).scalar_one())

    for number in range(80):
        for entity in "abc":
            await toys.send(entity, [number])
    with InThread(lambda: toys.consumer(effect, session_timeout_ms=SESSION_MS)):
        await eventually(lambda: stalls)
        async with toys.consuming(effect, session_timeout_ms=SESSION_MS):
            await eventually(lambda: done() == 240, 60)
            await asyncio.sleep(STALL_S)
    assert done() == 240
    assert await toys.committed() == 240
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
        await asyncio.sleep(3)
        await asyncio.to_thread(own_devkafka.start)
        await sending
        await eventually(lambda: len(seen) == 20, 60)
    await toys.producer.stop()


async def _insist(toys: Any, numbers: range) -> None:
    from modelyard_runtime.errors import Retryable

    for number in numbers:
        while True:
            try:
                await toys.send("a", [number])
                break
            except Retryable:
                await asyncio.sleep(0.2)


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
