"""Faults while the monitor stores a stream: every row is still in ClickHouse exactly once."""

import asyncio
import json
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelyard_contracts import FeedbackReceived, Message, PredictionLogged
from modelyard_contracts.codec import Codec, encode
from modelyard_devstack.providers.clickhouse import RunningClickHouse
from modelyard_devstack.providers.kafka import RunningKafka
from modelyard_devstack.testing import DevServer, Process, eventually, remains
from modelyard_monitor.domain.watching import Unwatched
from modelyard_monitor.ingest.counter import Counter
from modelyard_monitor.ingest.exactly_once import ExactlyOnceIngest
from modelyard_monitor.ingest.predictions import PredictionIngest
from modelyard_monitor.settings import Settings
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.connection import connect
from modelyard_monitor.testing.fakes import Letters, Manifests, Sent
from modelyard_monitor.testing.processes import monitor_process, own_clickhouse, store_of
from modelyard_monitor.testing.samples import FILES, START, digest_of_manifest, label, make_manifest, prediction
from modelyard_registry.testing import ADMIN_KEY, InProcessRegistry
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import DeadLetters, Producer, Received, ensure_topics, list_dead_letters

from .disk import SmallDisk

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]

SESSION_MS = 3_000
STALL_S = 4.5


async def send(bootstrap: str, values: Sequence[Message | bytes], topic: str = PredictionLogged.TOPIC) -> None:
    """Send all values and wait for the acknowledgements."""
    producer = Producer(bootstrap, "test", linger_ms=5)
    try:
        bodies = [value if isinstance(value, bytes) else encode(value) for value in values]
        await asyncio.gather(*[await producer.post_bytes(topic, f"k{i % 97}", body) for i, body in enumerate(bodies)])
    finally:
        await producer.stop()


def predictions(model: str, first: int, end: int) -> list[Message]:
    digest = digest_of_manifest(make_manifest(model))
    return [
        prediction(i, prediction_id=f"{model}-{i}", model=model, model_digest=digest, occurred_at=START)
        for i in range(first, end)
    ]


def counts(clickhouse: ClickHouse, table: str, model: str) -> dict[str, Any]:
    """Count rows, distinct Kafka offsets and distinct predictions of `model`; all three must be equal."""
    [found] = clickhouse.rows(
        f"SELECT count() AS n, uniqExact(_partition, _offset) AS u, uniqExact(prediction_id) AS p "
        f"FROM {{db}}.{table} WHERE startsWith(prediction_id, {{prefix:String}})",
        {"prefix": f"{model}-"},
    )
    return found


# -- a worker that stalls ----------------------------------------------------------------------------------------------


@dataclass
class Worker:
    """An ingest with its own event loop. If `stall` is set, the next batch blocks that loop once, at that point."""

    settings: Settings
    store: PredictionIngest
    group: str
    stall: str = ""
    batches: int = 0
    stalled: int = 0

    async def on_batch(self, records: Sequence[Received]) -> int:
        self.batches += 1
        self.block("before the insert")
        rows = await self.store.store(records)
        self.block("after the insert")
        return rows

    def block(self, where: str) -> None:
        if self.stall == where:
            self.stall = ""
            self.stalled += 1
            time.sleep(STALL_S)  # sleep: a blocked event loop is the fault under test

    def has_partitions(self) -> bool:
        return bool(self.ingest.consumer.assignment())

    def __enter__(self) -> "Worker":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.ingest = ingest = ExactlyOnceIngest(
            settings=self.settings,
            group=self.group,
            stores={PredictionLogged.TOPIC: self.on_batch},
            dead_letters=DeadLetters(self.settings.kafka_bootstrap_servers, "monitor"),
            readiness=Readiness(),
            session_timeout_ms=SESSION_MS,
        )
        await ingest.run(self._stop)


async def test_a_worker_stalled_beyond_its_session_loses_and_duplicates_nothing(
    devkafka: RunningKafka, devclickhouse: RunningClickHouse, tmp_path: Path, unique: str
) -> None:
    """One worker is blocked before and after its insert; the other takes over with the same batch."""
    rows, model = 1_200, f"stall{unique}"
    (tmp_path / "key").write_text("an admin key, long enough")
    settings = Settings(
        kafka_bootstrap_servers=devkafka.bootstrap, admin_key_file=tmp_path / "key", batch_rows=20, flush_s=0.1
    )
    writer = devclickhouse.writer
    clickhouse = ClickHouse(connect(devclickhouse.url, writer.user, writer.password), devclickhouse.database)
    clickhouse.migrate()
    await ensure_topics(devkafka.bootstrap)
    manifests = Manifests({(model, 1): make_manifest(model)})

    def worker(stall: str = "") -> Worker:
        store = PredictionIngest(
            clickhouse, Counter(clickhouse, manifests, Unwatched(), Readiness()), Codec(), Sent(), Letters()
        )
        return Worker(settings, store, f"monitor.stall{unique}", stall)

    await send(devkafka.bootstrap, predictions(model, 0, rows // 2))
    with worker("before the insert") as stalling:
        await eventually(lambda: stalling.stalled == 1, 60, what="the first stall")
        with worker() as other:
            await eventually(lambda: counts(clickhouse, "predictions", model)["p"] == rows // 2, 60)
            await eventually(
                lambda: stalling.has_partitions() and other.has_partitions(), 60, what="both workers have partitions"
            )
            stalling.stall = "after the insert"
            await send(devkafka.bootstrap, predictions(model, rows // 2, rows))
            await eventually(lambda: stalling.stalled == 2, 60, what="the second stall")
            await eventually(lambda: counts(clickhouse, "predictions", model)["p"] == rows, 60)
            await remains(lambda: counts(clickhouse, "predictions", model)["n"] == rows, STALL_S)
    assert other.batches > 0
    assert counts(clickhouse, "predictions", model) == {"n": rows, "u": rows, "p": rows}


# -- killed servers, a full disk and malformed messages ----------------------------------------------------------------


@dataclass
class World:
    kafka: DevServer
    clickhouse_server: DevServer
    clickhouse: ClickHouse
    disk: SmallDisk
    monitor: Process


MODEL = "m"


@pytest.fixture
def world(own_devkafka: DevServer, tmp_path: Path) -> Iterator[World]:
    """A monitor, its broker, and its ClickHouse on a small disk."""
    disk = SmallDisk(tmp_path / "disk", 64)
    server = own_clickhouse(disk.folder).start()
    with InProcessRegistry(tmp_path / "registry") as registry:
        registry.given_version(make_manifest(MODEL), FILES)
        monitor = monitor_process(
            tmp_path,
            bootstrap=own_devkafka.bootstrap,
            clickhouse=server.url,
            registry=registry.serve(),
            key=registry.admin_key,
            roles="api,ingest",
            flush_s="0.2",
            batch_rows="100",
            label_grace_s="1",
        ).start()
        clickhouse = store_of(server)
        yield World(own_devkafka, server, clickhouse, disk, monitor)
        monitor.kill()
    server.kill()
    disk.close()


def garbage() -> list[bytes]:
    """Messages that are not predictions: malformed, truncated, of another or unknown schema, too large."""
    good = encode(predictions(MODEL, 0, 1)[0])
    return [
        b"not avro at all",
        b"",
        good[: len(good) // 2],
        good + b"and more",
        encode(label(0)),
        b"\x00\x7f\xff\xff\xff" + good[5:],
        b"\x00" * 900_000,
        good[:5] + b"\xfe" * 900_000,
    ]


async def reports_clickhouse(monitor: Process, fault: Callable[[], None], load: Awaitable[None] | None = None) -> None:
    """Cause a fault of ClickHouse, and wait until the monitor's log reports it."""
    before = len(monitor.lines)
    fault()
    if load is not None:
        await load
    await eventually(lambda: "ClickHouse" in "\n".join(monitor.lines[before:]), 60, what="a report of the fault")


async def test_malformed_messages_killed_servers_and_a_full_disk_lose_and_duplicate_no_row(world: World) -> None:
    rows, bootstrap = 2_400, world.kafka.bootstrap

    def stored(table: str, wanted: int) -> bool:
        try:
            return bool(counts(world.clickhouse, table, MODEL)["n"] >= wanted)
        except Exception:  # ClickHouse is starting
            return False

    await ensure_topics(bootstrap)
    await send(bootstrap, predictions(MODEL, 0, 600))
    world.kafka.kill()
    world.kafka.start()
    await send(bootstrap, [*garbage(), *predictions(MODEL, 600, 1_200)])
    await reports_clickhouse(world.monitor, world.clickhouse_server.kill)
    world.clickhouse_server.start()
    await send(bootstrap, predictions(MODEL, 1_200, 1_800))
    await eventually(lambda: stored("predictions", 1_800), 60)
    try:
        await reports_clickhouse(world.monitor, world.disk.fill, send(bootstrap, predictions(MODEL, 1_800, rows)))
        assert world.monitor.running and world.clickhouse_server.running
    finally:
        world.disk.free()
    labels = [label(i, prediction_id=f"{MODEL}-{i}") for i in range(rows)]
    await send(bootstrap, labels, FeedbackReceived.TOPIC)

    for table in ("predictions", "labels"):
        await eventually(lambda table=table: stored(table, rows), 90, what=f"{table}: {world.monitor.output[-3_000:]}")  # type: ignore[misc]
    for table in ("predictions", "labels"):
        await remains(lambda table=table: counts(world.clickhouse, table, MODEL)["n"] == rows, 1)  # type: ignore[misc]
        assert counts(world.clickhouse, table, MODEL) == {"n": rows, "u": rows, "p": rows}, table
    [binned] = world.clickhouse.rows("SELECT sum(n) AS n FROM {db}.feature_bins WHERE feature = 'a'")
    assert binned["n"] == rows
    letters = await list_dead_letters(bootstrap, PredictionLogged.TOPIC, "monitor")
    assert len({(letter.partition, letter.offset) for letter in letters}) == len(garbage())
    assert all(letter.reason for letter in letters)
    assert world.monitor.stop() == 0


# -- no other service runs ---------------------------------------------------------------------------------------------


async def test_a_monitor_alone_is_ready_reports_what_it_waits_for_and_drops_nothing(
    own_devkafka: DevServer, tmp_path: Path
) -> None:
    """While the registry is away, without a detect worker, on an empty broker: the monitor creates its topics."""
    running = ExitStack()
    rows, bootstrap = 200, own_devkafka.bootstrap
    registry = running.enter_context(InProcessRegistry(tmp_path / "registry"))
    registry.given_version(make_manifest(MODEL), FILES)
    away = running.enter_context(ExitStack())
    away.enter_context(registry.unavailable())
    server = own_clickhouse(tmp_path).start()
    monitor = monitor_process(
        tmp_path,
        bootstrap=bootstrap,
        clickhouse=server.url,
        registry=registry.serve(),
        key=registry.admin_key,
        roles="api,ingest",
        flush_s="0.2",
        label_grace_s="1",
        late_join_every_s="1",
    )
    clickhouse = store_of(server)

    def stored(table: str) -> bool:
        return counts(clickhouse, table, MODEL) == {"n": rows, "u": rows, "p": rows}

    def partitions() -> list[dict[str, Any]]:
        [ingest] = [one for one in get_json(monitor, "/v1/ingest")["consumers"] if one["group"] == "monitor.ingest"]
        assert ingest["lag_records"] == sum(one["lag_records"] for one in ingest["partitions"])
        return list(ingest["partitions"])

    try:
        monitor.start()
        await send(bootstrap, predictions(MODEL, 0, rows))
        labels = [label(i, prediction_id=f"{MODEL}-{i}") for i in range(rows)]
        await send(bootstrap, labels, FeedbackReceived.TOPIC)
        await eventually(lambda: stored("labels"), 90, what="labels; they need no registry")

        ready = get_json(monitor, "/health/ready")
        assert ready["ready"]
        assert "the registry answered 503" in ready["checks"]["consumer monitor.ingest"]["detail"]
        waiting = partitions()
        assert sum(one["lag_records"] for one in waiting) == rows
        assert {one["last_offset"] for one in waiting} == {None}
        assert all(one["lag_s"] > 0 for one in waiting if one["lag_records"])

        away.close()
        await eventually(lambda: stored("predictions"), 90, what="predictions: " + monitor.output[-2_000:])
        await eventually(lambda: counts(clickhouse, "v_matched", MODEL)["p"] == rows, 90, what="late labels")
        await eventually(lambda: {one["lag_s"] for one in partitions()} == {0.0}, 30)
        assert sum(one["rows"] for one in partitions()) == rows
        assert all(one["last_record_at"] for one in partitions() if one["rows"])
        assert await list_dead_letters(bootstrap, PredictionLogged.TOPIC, "monitor") == []
        assert monitor.stop() == 0
    finally:
        monitor.kill()
        server.kill()
        running.close()


def get_json(monitor: Process, path: str) -> Any:
    request = urllib.request.Request(f"{monitor.address}{path}", headers={"authorization": f"Bearer {ADMIN_KEY}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
