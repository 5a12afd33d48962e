"""kill -9 of the broker under load: every acknowledged record is stored once.

Needs a broker that the test may kill: a development broker or a Kafka of KAFKA_HOME of its own. With another provider
(a given address, Docker) it runs on the development broker, whose promise this is.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard_devstack.providers.kafka import RunningKafka, start_kafka
from modelyard_devstack.testing import eventually, free_port

from .kit import Kit, running

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]


class Mortal:
    """A broker on a fixed port and folder."""

    def __init__(self, data: Path) -> None:
        self._data, self._port = data, free_port()
        self._environ = {**os.environ}
        if "KAFKA_HOME" not in os.environ:
            self._environ["MODELYARD_KAFKA_PROVIDER"] = "development"
        self._environ.pop("KAFKA_BOOTSTRAP_SERVERS", None)
        self.kafka = self._start()

    def _start(self) -> RunningKafka:
        return start_kafka(self._data, self._port, self._environ)

    def die_and_come_back(self) -> None:
        assert self.kafka.pid is not None
        os.kill(self.kafka.pid, signal.SIGKILL)
        self.kafka.stop()
        self.kafka = self._start()


@pytest.fixture
def mortal(tmp_path: Path, given_server: None) -> Iterator[Mortal]:
    broker = Mortal(tmp_path / "kafka")
    yield broker
    broker.kafka.stop()


async def more_records(acknowledged: list[int]) -> None:
    """Wait until the load has made progress."""
    enough = len(acknowledged) + 1_000
    await eventually(lambda: len(acknowledged) >= enough, 60, what="progress of the load")


async def test_acknowledged_records_and_offsets_survive_kill_9_of_the_broker(mortal: Mortal) -> None:
    async with running(Kit(mortal.kafka.bootstrap, mortal.kafka.provider)) as kit:
        topic, group = await kit.topic(2), kit.unique("group")
        producer = await kit.producer(enable_idempotence=True, linger_ms=2, request_timeout_ms=20_000)
        reader = await kit.consumer(topic, group_id=group)
        acknowledged: list[int] = []
        finished = asyncio.Event()

        async def write() -> None:
            number = 0
            while not finished.is_set():
                batch = [await producer.send(topic, b"%d" % n, partition=n % 2) for n in range(number, number + 20)]
                await asyncio.gather(*batch)
                acknowledged.extend(range(number, number + 20))
                number += 20
                await asyncio.sleep(0.01)  # sleep: the pace of the load

        async def read() -> None:
            while not finished.is_set():
                if await reader.getmany(timeout_ms=100):
                    with contextlib.suppress(Exception):
                        await reader.commit()

        tasks = [asyncio.create_task(write()), asyncio.create_task(read())]
        for _ in range(2):
            await more_records(acknowledged)
            await asyncio.to_thread(mortal.die_and_come_back)
        await more_records(acknowledged)
        finished.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 120)
        stored = sorted(int(record.value) for record in await kit.all_of(topic, seconds=60))
        assert stored == acknowledged, "lost or repeated"
        offsets = await (await kit.admin()).list_consumer_group_offsets(group)
        assert 0 < sum(offset.offset for offset in offsets.values()) <= len(stored)
