"""The whole monitor on a real broker and a real engine: kill -9 while the stream runs, and the counts still add up."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from modelyard_contracts import DriftDetected, FeedbackReceived, PredictionLogged
from modelyard_contracts.codec import decode, encode
from modelyard_contracts.topics import topic
from modelyard_devstack.testing.processes import DevServer, Process, eventually
from modelyard_monitor.detect.snapshot import Snapshots
from modelyard_monitor.detect.worker import CHANGELOG
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.testing.processes import STATE_SECRETS, monitor_process, own_clickhouse, store_of
from modelyard_monitor.testing.samples import FILES, START, label, make_manifest, prediction
from modelyard_registry.testing import InProcessRegistry
from modelyard_runtime.kafka import Producer, ensure_topics

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(420)]

ROWS = 6_000


@dataclass
class Stack:
    bootstrap: str
    clickhouse: ClickHouse
    monitor: Callable[[], Process]

    def one(self, sql: str) -> dict[str, Any]:
        [row] = self.clickhouse.rows(sql)
        return row


@pytest.fixture
def stack(own_devkafka: DevServer, tmp_path: Path) -> Iterator[Stack]:
    server = own_clickhouse(tmp_path).start()
    with InProcessRegistry(tmp_path / "registry") as registry:
        registry.given_version(make_manifest(), FILES)
        url = registry.serve()

        def monitor() -> Process:
            return monitor_process(
                tmp_path,
                bootstrap=own_devkafka.bootstrap,
                clickhouse=server.url,
                registry=url,
                key=registry.admin_key,
                flush_s="0.3",
                batch_rows="300",
            )

        yield Stack(own_devkafka.bootstrap, store_of(server), monitor)
    server.kill()


async def test_kill_9_of_the_monitor_loses_and_repeats_nothing(stack: Stack) -> None:
    await ensure_topics(stack.bootstrap)
    sending = asyncio.create_task(_stream(stack.bootstrap))
    for seconds in (9.0, 7.0, 11.0):
        monitor = stack.monitor().start(ready=False)
        await asyncio.sleep(seconds)  # sleep: the monitor is killed at an arbitrary moment
        monitor.kill()
    await sending
    monitor = stack.monitor().start(ready=False)
    try:
        await eventually(lambda: _stored(stack), 150, what="all rows stored")
        await eventually(lambda: _applied(stack.bootstrap), 150, what="all slices applied")
        await asyncio.sleep(2)  # sleep: a repeat would arrive within this time
        for table in ("predictions", "labels"):
            found = stack.one(
                f"SELECT count() AS n, uniqExact(_topic, _partition, _offset) AS u, "
                f"uniqExact(prediction_id) AS p FROM ml.{table}"
            )
            assert (found["n"], found["u"], found["p"]) == (ROWS, ROWS, ROWS), table
        counted = stack.one("SELECT sum(n) AS n FROM ml.feature_bins WHERE feature = 'a'")
        assert counted["n"] == ROWS
        assert stack.one("SELECT count() AS n FROM ml.v_matched")["n"] == ROWS
        assert stack.one("SELECT count() AS n FROM ml.v_labelled")["n"] == ROWS
        drift = [decode(value, DriftDetected) for value in await _read(stack.bootstrap, DriftDetected.TOPIC)]
        assert any(event.kind == "performance" for event in drift)
    finally:
        code = monitor.stop()
    assert code == 0, monitor.output[-3_000:]


async def test_detection_is_back_soon_after_its_worker_was_killed(stack: Stack) -> None:
    """Not after its session timeout: a restart costs what a first start costs, and at most five seconds more."""
    await ensure_topics(stack.bootstrap)
    sending = asyncio.create_task(_stream(stack.bootstrap, rows=10 * ROWS))
    monitor = stack.monitor().start(ready=False)
    try:
        started = time.monotonic()
        await eventually(lambda: _rows_applied(stack.bootstrap), 200, what="first slices applied")
        first_s, backs = time.monotonic() - started, []
        [host] = _children(monitor.pid)
        for _ in range(2):
            [worker] = _children(host)
            os.kill(worker, signal.SIGKILL)
            started = time.monotonic()
            # What the killed worker had sent may still arrive: only what comes after its successor began counts.
            await eventually(lambda: _replaced(host, worker), 60, what="a new worker")  # noqa: B023
            before = await _rows_applied(stack.bootstrap)
            await eventually(lambda: _more_applied(stack.bootstrap, before + 300), 60, what="new slices applied")  # noqa: B023
            backs.append(time.monotonic() - started)
        print(f"first start {first_s:.1f} s, back after {backs[0]:.1f} s and {backs[1]:.1f} s")
        assert min(backs) < first_s + 5
    finally:
        sending.cancel()
        monitor.kill()
        print(monitor.output[-6_000:])


def _children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in listed if b"detect" in Path(f"/proc/{one}/cmdline").read_bytes()]


async def _replaced(host: int, killed: int) -> bool:
    return any(one != killed for one in _children(host))


async def _more_applied(bootstrap: str, rows: int) -> bool:
    return await _rows_applied(bootstrap) >= rows


async def _rows_applied(bootstrap: str) -> int:
    """Rows in the newest state of the changelog."""
    try:
        states = await _read(bootstrap, CHANGELOG)
    except KafkaError:
        return 0  # the topic is not there yet
    if not states:
        return 0
    [version] = Snapshots(lambda: STATE_SECRETS).load(states[-1]).versions.values()
    return version.rows


async def _stream(bootstrap: str, rows: int = ROWS) -> None:
    """Predictions and, shortly after, their labels: 6,000 `rows` take about half a minute."""
    producer = Producer(bootstrap, "router", linger_ms=5)
    try:
        for first in range(0, rows, 100):
            part = range(first, first + 100)
            sent = [
                await producer.post_bytes(PredictionLogged.TOPIC, f"p{i}", encode(prediction(i, occurred_at=START)))
                for i in part
            ]
            sent += [await producer.post_bytes(FeedbackReceived.TOPIC, f"p{i}", encode(_truth(i))) for i in part]
            await asyncio.gather(*sent)
            await asyncio.sleep(0.45)  # sleep: the pace of the stream
    finally:
        await producer.stop()


def _truth(index: int) -> FeedbackReceived:
    return label(index, "0" if index > ROWS // 2 and index % 2 else "1", occurred_at=START + timedelta(minutes=1))


def _stored(stack: Stack) -> bool:
    try:
        sql = "SELECT (SELECT count() FROM ml.predictions) AS p, (SELECT count() FROM ml.v_matched) AS l"
        found = stack.one(sql)
    except Exception:  # the tables may not be there yet
        return False
    return (found["p"], found["l"]) == (ROWS, ROWS)


async def _applied(bootstrap: str) -> bool:
    """Whether the newest state in the changelog has seen every prediction and every label exactly once."""
    states = await _read(bootstrap, CHANGELOG)
    if not states:
        return False
    [version] = Snapshots(lambda: STATE_SECRETS).load(states[-1]).versions.values()
    assert version.rows <= ROWS
    assert version.labels <= ROWS
    return (version.rows, version.labels) == (ROWS, ROWS)


async def _read(bootstrap: str, name: str) -> list[bytes]:
    """All values of a topic; of the changelog those of the one model, in order."""
    consumer = AIOKafkaConsumer(name, bootstrap_servers=bootstrap, auto_offset_reset="earliest", group_id=None)
    await consumer.start()
    try:
        partitions = consumer.assignment()
        ends = await consumer.end_offsets(partitions)
        values: list[bytes] = []
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                values += [record.value for record in records if record.value is not None]
        return values
    finally:
        await consumer.stop()


def test_the_changelog_has_as_many_partitions_as_the_slices() -> None:
    assert topic("monitoring.slice.summarised.v1").partitions == 4
