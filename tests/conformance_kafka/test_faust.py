"""Faust's tables are exact under kill -9 when each value carries the last offset in it, which says where to begin.

Left to Faust's own commits, one run of dozens did not come to its end: records are dropped when partitions move.
"""

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelyard_devstack.testing.processes import eventually

from .kit import Kit

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]
WORKER = Path(__file__).parent / "workers" / "counting.py"
PARTITIONS, KEYS, EVENTS, OUTPUT_EVERY = 4, 8, 4_000, 20


async def feed(kit: Kit, topic: str) -> None:
    """Send events at a steady pace, so that workers are killed under load."""
    producer = await kit.producer(enable_idempotence=True)
    for number in range(EVENTS):
        key = number % KEYS
        await producer.send(topic, b"%d" % number, key=b"k%d" % key, partition=key % PARTITIONS)
        if number % 100 == 99:
            await asyncio.sleep(0.3)  # sleep: the pace of the load
    await producer.flush()


@contextlib.asynccontextmanager
async def workers(count: int, *arguments: str) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    running = [await start(*arguments) for _ in range(count)]
    try:
        yield running
    finally:
        for process in running:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def start(*arguments: str) -> asyncio.subprocess.Process:
    with (Path(arguments[-1]) / "workers.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(sys.executable, str(WORKER), *arguments, stdout=log, stderr=log)


async def test_two_workers_count_every_event_once_through_kills(kit: Kit, tmp_path: Path) -> None:
    name = kit.unique("counting")
    events, output = await kit.topic(PARTITIONS), await kit.topic(1)
    arguments = (kit.bootstrap, name, events, output, str(tmp_path))
    async with workers(2, *arguments) as running:
        feeding = asyncio.create_task(feed(kit, events))
        for _ in range(2):
            await more_outputs(kit, output)
            victim = running.pop(random.randrange(2))
            victim.kill()
            await victim.wait()
            running.append(await start(*arguments))
        await feeding
        await eventually(lambda: counted(kit, name), 120, what="all events counted")
    outputs = [record.key for record in await kit.all_of(output)]
    assert len(set(outputs)) == KEYS * (EVENTS // KEYS // OUTPUT_EVERY), (
        "each output is there, and repeated ones carry the same id"
    )


async def more_outputs(kit: Kit, topic: str) -> None:
    """Wait until the workers have made progress, so that the kill hits them while they work."""
    enough = len(await kit.all_of(topic)) + 40

    async def progress() -> bool:
        return len(await kit.all_of(topic)) >= enough

    await eventually(progress, 120, what="progress of the workers")


async def counted(kit: Kit, name: str) -> bool:
    """True once the latest values in the changelog add up to all events; more is an error."""
    latest: dict[bytes, bytes] = {
        record.key: record.value for record in await kit.all_of(f"{name}-{name}-exact-changelog")
    }
    total: int = sum(json.loads(value)[0] for value in latest.values())
    assert total <= EVENTS, "counted twice"
    return total == EVENTS
