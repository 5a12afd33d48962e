"""Exactly once, from a topic to a topic, while workers are killed or stall."""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelyard_devstack.testing.processes import eventually

from .kit import Kit, partition

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]
COPIER = Path(__file__).parent / "workers" / "copier.py"
PARTITIONS, RECORDS = 4, 12_000


class Workers:
    """Two copiers; one that is killed is started again."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(COPIER), *self._arguments, stdout=asyncio.subprocess.PIPE, stderr=None
        )
        self.processes.append(process)

    async def kill(self) -> None:
        process = self.processes.pop(random.randrange(len(self.processes)))
        process.kill()
        await process.wait()

    async def revive(self) -> None:
        """Start again what ended by itself."""
        for process in [p for p in self.processes if p.returncode is not None]:
            self.processes.remove(process)
            await self.start()

    async def stop(self) -> None:
        while self.processes:
            await self.kill()


@contextlib.asynccontextmanager
async def two_workers(*arguments: str) -> AsyncIterator[Workers]:
    workers = Workers(*arguments)
    try:
        await workers.start()
        await workers.start()
        yield workers
    finally:
        await workers.stop()


@pytest.mark.parametrize(("stall_every", "kills"), [(0, 3), (9, 0)], ids=["kill -9", "stalled worker"])
async def test_nothing_is_lost_or_repeated(kit: Kit, stall_every: int, kills: int) -> None:
    source, sink, group = await kit.topic(PARTITIONS), await kit.topic(PARTITIONS), kit.unique("copier")
    await kit.fill(source, RECORDS, partitions=PARTITIONS)
    admin = await kit.admin()

    async def done() -> int:
        offsets = await admin.list_consumer_group_offsets(group)
        return sum(offsets[tp].offset for tp in offsets if tp.topic == source)

    async with two_workers(kit.bootstrap, source, sink, group, str(stall_every), "4") as workers:
        for kill in range(1, kills + 1):

            async def far_enough(share: float = kill / (kills + 2)) -> bool:
                return await done() >= RECORDS * share

            await eventually(far_enough, 120, what=f"progress before kill {kill}")
            await workers.kill()
            await workers.start()

        async def complete() -> bool:
            await workers.revive()
            return await done() == RECORDS

        await eventually(complete, 240, what="every input offset committed")
    copied = sorted(int(record.value) for record in await kit.all_of(sink))
    assert len(copied) - len(set(copied)) == 0, "repeated"
    assert copied == list(range(RECORDS)), "lost"
    assert partition(source) in await admin.list_consumer_group_offsets(group)
