"""The outbox relay: order per key, no loss under kill -9, one relay at a time."""

import asyncio
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from sqlalchemy import Connection, func, select, text

from modelyard_contracts import TrainingRunRequested
from modelyard_contracts.codec import decode
from modelyard_devstack.testing import DevServer, Process, eventually, remains
from modelyard_runtime.clock import system_clock
from modelyard_runtime.database import Database, open_engine
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import ensure_topics
from modelyard_runtime.relay import OutboxRelay
from modelyard_runtime.tables import OUTBOX

pytestmark = pytest.mark.server
TOPIC = TrainingRunRequested.TOPIC
SCRIPT = Path(__file__).parent / "scripts" / "relaying.py"


def requested(model: str, number: int) -> TrainingRunRequested:
    return TrainingRunRequested(
        event_id=uuid4(),
        occurred_at=system_clock(),
        correlation_id=uuid4(),
        model=model,
        requested_by="test",
        reason=str(number),
    )


class Log:
    """What a reader of committed records sees on the topic, of models with a prefix."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        self._bootstrap, self._prefix = bootstrap, prefix

    async def read(self) -> dict[str, list[tuple[str, int]]]:
        """Model to its (event id, number), in order."""
        consumer = AIOKafkaConsumer(
            TOPIC, bootstrap_servers=self._bootstrap, auto_offset_reset="earliest", isolation_level="read_committed"
        )
        await consumer.start()
        found: dict[str, list[tuple[str, int]]] = {}
        try:
            assert consumer.assignment()
            quiet = 0
            while quiet < 3:  # the end offset is no guide: the last record is a transaction's marker
                batches = await consumer.getmany(timeout_ms=500)
                quiet = 0 if batches else quiet + 1
                for record in (record for records in batches.values() for record in records):
                    message = decode(record.value, TrainingRunRequested)
                    if message.model.startswith(self._prefix):
                        found.setdefault(message.model, []).append((str(message.event_id), int(message.reason)))
        finally:
            await consumer.stop()
        return found


def first_occurrences(events: list[tuple[str, int]]) -> list[int]:
    seen: dict[str, int] = {}
    for event_id, number in events:
        seen.setdefault(event_id, number)
    return list(seen.values())


@asynccontextmanager
async def relaying(*relays: OutboxRelay) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(relay.run(stop)) for relay in relays]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


UNSENT = select(func.count()).select_from(OUTBOX).where(OUTBOX.c.sent_at.is_(None))


def unsent(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute(UNSENT).scalar_one())


class Stalling(Database):
    """Once `stall` is set, a read that finds unsent events stalls before it returns, until `go`."""

    def __init__(self, url: str) -> None:
        super().__init__(open_engine(url), system_clock)
        self.stall, self.stalled, self.go = threading.Event(), threading.Event(), threading.Event()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with super().read() as connection:
            stalls = self.stall.is_set() and connection.execute(UNSENT).scalar_one() > 0
            yield connection
        if stalls:
            self.stalled.set()
            self.go.wait(60)


def lose_lock(database: Database) -> None:
    """Free the lock as a fault does: the file, or the session, of its holder goes away."""
    if database.engine.dialect.name == "sqlite":
        Path(f"{database.engine.url.database}.relay.lock").unlink()
        return
    ours = "locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    with database.transaction() as tx:
        ended = tx.connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {ours}")).all()
    assert len(ended) == 1


def queue(database: Database, model: str, numbers: range) -> None:
    with database.transaction() as tx:
        for number in numbers:
            tx.outbox.add(requested(model, number), key=model)


async def test_queued_events_reach_the_topic_in_order_and_soon(database: Database, devkafka: Any, unique: str) -> None:
    async with relaying(OutboxRelay(database, devkafka.bootstrap, "relaytest")):
        queue(database, f"{unique}-a", range(20))
        queue(database, f"{unique}-b", range(20))
        await eventually(lambda: unsent(database) == 0)
        began = time.monotonic()
        queue(database, f"{unique}-a", range(20, 21))
        await eventually(lambda: unsent(database) == 0)
        took = time.monotonic() - began
    found = await Log(devkafka.bootstrap, unique).read()
    assert {model: [number for _, number in events] for model, events in found.items()} == {
        f"{unique}-a": list(range(21)),
        f"{unique}-b": list(range(20)),
    }
    assert took < 5


async def test_what_was_committed_just_before_the_stop_still_leaves(
    database: Database, devkafka: Any, unique: str
) -> None:
    relay = OutboxRelay(database, devkafka.bootstrap, "relaytest")
    async with relaying(relay):
        queue(database, f"{unique}-a", range(1))
        await eventually(lambda: unsent(database) == 0)
        queue(database, f"{unique}-a", range(1, 30))
    assert unsent(database) == 0


async def test_two_relays_of_one_database_send_everything_once(database: Database, devkafka: Any, unique: str) -> None:
    relays = [OutboxRelay(database, devkafka.bootstrap, "relaytest") for _ in range(2)]
    async with relaying(*relays):
        for start in range(0, 100, 10):
            await asyncio.to_thread(queue, database, unique, range(start, start + 10))
        await eventually(lambda: unsent(database) == 0)
    found = await Log(devkafka.bootstrap, unique).read()
    assert [number for _, number in found[unique]] == list(range(100))


async def test_a_relay_that_lost_its_lock_without_noticing_is_fenced(
    database: Database, database_url: str, devkafka: Any, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise an old value could follow a newer one, and a compacted topic would keep it."""
    seen_by_old = Stalling(database_url)
    old = OutboxRelay(seen_by_old, devkafka.bootstrap, "relaytest")
    new = OutboxRelay(database, devkafka.bootstrap, "relaytest")
    async with relaying(old):
        queue(database, unique, range(1))
        await eventually(lambda: unsent(database) == 0)
        seen_by_old.stall.set()
        queue(database, unique, range(1, 2))
        await eventually(seen_by_old.stalled.is_set)
        lose_lock(database)
        async with relaying(new):
            await eventually(lambda: unsent(database) == 0)
            queue(database, unique, range(2, 3))
            await eventually(lambda: unsent(database) == 0)
            seen_by_old.go.set()
            await eventually(lambda: "another relay of this database took over" in caplog.text)
    seen_by_old.close()
    found = await Log(devkafka.bootstrap, unique).read()
    assert [number for _, number in found[unique]] == [0, 1, 2]


async def test_a_broker_that_is_away_delays_events_and_says_so(
    database: Database, own_devkafka: DevServer, unique: str
) -> None:
    readiness = Readiness()
    own_devkafka.kill()
    async with relaying(OutboxRelay(database, own_devkafka.bootstrap, "relaytest", readiness=readiness)):
        queue(database, unique, range(5))
        await eventually(lambda: not readiness.ready)
        assert unsent(database) == 5
        await asyncio.to_thread(own_devkafka.start)
        await eventually(lambda: unsent(database) == 0, 60)
        await eventually(lambda: readiness.ready)
        own_devkafka.kill()
        queue(database, unique, range(5, 10))
        await remains(lambda: unsent(database) == 5, 1.0, what="events wait for the broker")
        await asyncio.to_thread(own_devkafka.start)
        await eventually(lambda: unsent(database) == 0, 60)
    found = await Log(own_devkafka.bootstrap, unique).read()
    assert first_occurrences(found[unique]) == list(range(10))


@pytest.mark.slow
async def test_kill_9_at_random_moments_loses_and_reorders_nothing(
    database_url: str, devkafka: Any, unique: str
) -> None:
    await ensure_topics(devkafka.bootstrap)
    events, dice = 60, random.Random(unique)
    process = Process([sys.executable, str(SCRIPT), database_url, devkafka.bootstrap, unique, str(events)])
    kills = 0
    for _ in range(5):
        await asyncio.to_thread(process.start)
        await asyncio.sleep(dice.uniform(0.05, 1.0))  # sleep: the kill comes at a random moment
        kills += process.running
        process.kill()
    await asyncio.to_thread(process.start)
    log = Log(devkafka.bootstrap, unique)

    async def complete() -> dict[str, list[tuple[str, int]]] | None:
        found = await log.read()
        return found if sum(len(set(events)) for events in found.values()) == 3 * events else None

    found = await eventually(complete, 90)
    assert process.stop() is not None
    assert kills == 5
    assert {model: first_occurrences(each) for model, each in found.items()} == {
        f"{unique}-{index}": list(range(events)) for index in range(3)
    }
