"""Throughput and latency: `pytest -m bench -s`. Figures per second of wall time depend on the machine's load."""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]
RECORDS, SIZE = 200_000, 200


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """BENCH_KAFKA_BOOTSTRAP_SERVERS for a peer, else a development broker: address and pid (0 for a peer)."""
    if given := os.environ.get("BENCH_KAFKA_BOOTSTRAP_SERVERS"):
        yield given, 0
        return
    command = [sys.executable, "-m", "modelyard_devkafka", "--port", "0", "--data", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[1], process.pid
        process.terminate()


def rss_mib(pid: int) -> int:
    if not pid or not Path(f"/proc/{pid}/status").exists():
        return 0
    [line] = [x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS")]
    return int(line.split()[1]) // 1024


class Meter:
    """Records per second: wall time, CPU time of the client, CPU time of the broker."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> "Meter":
        self._started = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self._spent = [after - before for before, after in zip(self._started, self._now(), strict=True)]

    def _now(self) -> tuple[float, float, float]:
        broker = sum(psutil.Process(self._pid).cpu_times()[:2]) if self._pid else 0.0
        return time.perf_counter(), time.process_time(), broker

    def rates(self, records: int) -> str:
        wall, client, broker = (records / max(spent, 0.01) for spent in self._spent)
        return f"{wall:,.0f}/s wall, {client:,.0f} per client CPU-s, {broker:,.0f} per broker CPU-s"


async def test_throughput_and_latency(broker: tuple[str, int]) -> None:
    bootstrap, pid = broker
    topic, small = f"bench-{time.time_ns()}", rss_mib(pid)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 4, 1)])
    with Meter(pid) as plain:
        await produced(bootstrap, topic)
    with Meter(pid) as packed:
        await produced(bootstrap, topic, enable_idempotence=True, compression_type="lz4")
    with Meter(pid) as consumed:
        await consume(bootstrap, topic, 2 * RECORDS)
    p50, p95, worst = await latency_ms(bootstrap, topic)
    await admin.close()
    print(
        f"\nproduce plain:            {plain.rates(RECORDS)}\nproduce idempotent, lz4: {packed.rates(RECORDS)}"
        f"\nconsume:                  {consumed.rates(2 * RECORDS)}"
        f"\nlatency p50 {p50:.1f} p95 {p95:.1f} max {worst:.1f} ms; broker {small} -> {rss_mib(pid)} MiB"
    )


async def produced(bootstrap: str, topic: str, **options: object) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, max_batch_size=1 << 18, **options)
    await producer.start()
    value = b"x" * SIZE
    for first in range(0, RECORDS, 1_000):
        batch = producer.create_batch()
        for _ in range(1_000):
            if batch.append(key=None, value=value, timestamp=None) is None:
                raise AssertionError("the batch is too small for the benchmark")
        await producer.send_batch(batch, topic, partition=first // 1_000 % 4)
    await producer.flush()
    await producer.stop()


async def consume(bootstrap: str, topic: str, count: int) -> None:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", max_poll_records=5_000
    )
    await consumer.start()
    seen = 0
    while seen < count:
        seen += sum(map(len, (await consumer.getmany(timeout_ms=1_000)).values()))
    await consumer.stop()
    assert seen == count


async def latency_ms(bootstrap: str, topic: str) -> tuple[float, float, float]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="latest")
    await producer.start()
    await consumer.start()
    await consumer.seek_to_end()
    found = []
    for _ in range(400):
        started = time.perf_counter()
        await producer.send_and_wait(topic, b"x", partition=0)
        await consumer.getone()
        found.append((time.perf_counter() - started) * 1_000)
        await asyncio.sleep(0.002)  # sleep: the pace of the load
    await producer.stop()
    await consumer.stop()
    return statistics.median(found), statistics.quantiles(found, n=20)[18], max(found)
