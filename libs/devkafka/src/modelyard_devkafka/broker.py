"""The broker's state, opened from a data folder, and its periodic work."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from modelyard_devkafka.errors import DataFolderUnusable, StorageFailed
from modelyard_devkafka.faults import Faults
from modelyard_devkafka.groups.coordinator import Coordinator
from modelyard_devkafka.housekeeping import Housekeeping
from modelyard_devkafka.storage.journal import Journal
from modelyard_devkafka.topics import Topics
from modelyard_devkafka.transactions import Transactions

NODE_ID: Final = 1
_GROUP_SWEEP_SECONDS: Final = 0.05


class Broker:
    """Everything except the network. A data folder belongs to one process at a time."""

    def __init__(self, folder: Path, *, housekeeping_seconds: float = 10.0) -> None:
        """Raises DataFolderUnusable."""
        self.host, self.port = "127.0.0.1", 0
        with _usable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder / "lock")
            self.journal = Journal(folder / "journal")
            self.cluster_id = self._cluster_id()
            self.topics = Topics(self.journal, folder / "topics")
            self.topics.load()
            self.groups = Coordinator(self.journal)
            self.transactions = Transactions(self.journal, self.topics, self.groups.offsets)
            self.transactions.load()
        self.topics.on_delete.append(self.groups.offsets.forget_topic)
        self.faults = Faults()
        self.housekeeping = Housekeeping(
            self.topics, self.groups, self.transactions, every_seconds=housekeeping_seconds
        )

    def _cluster_id(self) -> str:
        if (known := self.journal.get("cluster-id")) is None:
            known = uuid.uuid4().hex[:22]
            self.journal.put((("cluster-id",), known))
        return str(known)

    async def run(self) -> None:
        """Run the periodic work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            tasks.create_task(self.housekeeping.run())

    async def _sweep(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(_GROUP_SWEEP_SECONDS)
            self.groups.sweep()
            rounds += 1
            if rounds % 20 == 0:
                self.transactions.sweep()

    def close(self) -> None:
        self.topics.close()
        self.journal.close()
        os.close(self._lock)


@contextlib.contextmanager
def _usable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, StorageFailed) as problem:
        raise DataFolderUnusable(f"cannot use the data folder {folder}: {problem}") from problem


def _lock(path: Path) -> int:
    """Lock the folder until the process exits; kill -9 also releases it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 20).decode().strip()
        os.close(fd)
        raise DataFolderUnusable(f"the data folder {path.parent} belongs to a running broker (pid {holder})") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(os.getpid()).encode(), 0)
    return fd
