"""A router as a process, a broker, a replica as a process, and callers that count what was answered."""

import asyncio
import json
import os
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from aiokafka import AIOKafkaConsumer

from modelyard_contracts import Message, RoutePublished
from modelyard_contracts.codec import decode
from modelyard_contracts.topics import all_topics
from modelyard_devstack.testing import Process, free_port
from modelyard_router.domain.upstreams import CallFailed, Whole
from modelyard_router.upstream.pool import Pool, PoolLimits
from modelyard_runtime.kafka import Producer, ensure_topics

from .conftest import KEY, ROW, table, target

M = TypeVar("M", bound=Message)
REPLICA = Path(__file__).with_name("replica.py")


def replica_process(*options: str) -> Process:
    return Process([sys.executable, str(REPLICA), *options])


class RouterProcess(Process):
    """On a fixed port and folder, so that it can be killed and started again."""

    def __init__(self, folder: Path, bootstrap: str, **settings: Any) -> None:
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "admin.key").write_text(KEY)
        env = {
            "MODELYARD_ADMIN_KEY_FILE": str(folder / "admin.key"),
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "ROUTER_PORT": str(self.port),
            "ROUTER_DATA_DIR": str(folder / "data"),
            **{f"ROUTER_{name.upper()}": str(value) for name, value in settings.items()},
        }
        command = [sys.executable, "-m", "modelyard_router"]
        super().__init__(command, {**os.environ, **env})


@dataclass
class Callers:
    """Calls one router over and over; `answered` holds the ids of the predictions that came back."""

    port: int
    answered: list[str] = field(default_factory=list)
    statuses: Counter[int | str] = field(default_factory=Counter)
    sent: int = 0

    def __post_init__(self) -> None:
        self.pool = Pool("127.0.0.1", self.port, PoolLimits(max_connections=256))

    async def call(self, method: str, path: str, body: Any = None, timeout_s: float = 20.0) -> Whole:
        raw = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(raw)}\r\n\r\n"
        )
        return await self.pool.call(head.encode() + raw, asyncio.get_running_loop().time() + timeout_s)

    async def get(self, path: str) -> Any:
        return json.loads((await self.call("GET", path)).body)

    async def predict(self) -> None:
        self.sent += 1
        prediction_id = f"p-{self.sent}"
        body = {"features": ROW, "prediction_id": prediction_id, "entity_key": f"u{self.sent % 97}"}
        try:
            reply = await self.call("POST", "/v1/predict/elec", body)
        except CallFailed as error:
            self.statuses[error.reason] += 1
            await asyncio.sleep(0.02)  # sleep: the pace of the load
            return
        self.statuses[reply.status] += 1
        if reply.status == 200:
            self.answered.append(prediction_id)

    def has_more_than(self, count: int) -> bool:
        return len(self.answered) > count

    async def run(self, stop: asyncio.Event, workers: int = 8, pause_s: float = 0.0) -> None:
        async def one() -> None:
            while not stop.is_set():
                await self.predict()
                await asyncio.sleep(pause_s)  # sleep: the pace of the load

        await asyncio.gather(*(one() for _ in range(workers)))


async def prepare(bootstrap: str, published: RoutePublished) -> None:
    await ensure_topics(bootstrap, all_topics())
    await publish(bootstrap, published)


async def publish(bootstrap: str, published: RoutePublished) -> None:
    producer = Producer(bootstrap, "deployer")
    await producer.send(published)
    await producer.stop()


def route_to(*replicas: Process, sequence: int = 1) -> RoutePublished:
    urls = [str(replica.address) for replica in replicas]
    assert all(urlsplit(url).port for url in urls)
    return table(target(*urls), sequence=sequence)


async def committed(bootstrap: str, kind: type[M]) -> list[M]:
    """Every message on a topic that a reader of committed records sees."""
    consumer = AIOKafkaConsumer(
        kind.TOPIC,
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        group_id=None,
    )
    await consumer.start()
    try:
        places = consumer.assignment()
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        found: list[M] = []
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [decode(record.value, kind) for record in records]
        return found
    finally:
        await consumer.stop()
