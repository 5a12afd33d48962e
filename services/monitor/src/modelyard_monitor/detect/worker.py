"""The Faust worker: slices keyed by model, a table of states, nothing else. `python -m modelyard_monitor detect`.

Faust's guarantee is at_least_once (its exactly_once loses and repeats records); the offsets in the state make repeats
harmless and say where to begin (progress.py). All topics exist before the worker starts, the changelog with as many
partitions as the slices.
"""

import asyncio
import logging
import os
from typing import Any, Final, cast

import faust

from modelyard_contracts import SliceSummarised
from modelyard_contracts.codec import Codec, Undecodable
from modelyard_contracts.topics import topic
from modelyard_monitor.child import PARENT_VARIABLE
from modelyard_monitor.detect.apply import Detector
from modelyard_monitor.detect.exact import ConfirmedTable, exactly
from modelyard_monitor.detect.progress import Apply, in_order
from modelyard_monitor.detect.snapshot import Snapshots
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.registry import Registry
from modelyard_monitor.settings import Settings
from modelyard_runtime.errors import BrokerAway
from modelyard_runtime.kafka import DeadLetters, Producer, Received, ensure_topics
from modelyard_runtime.kafka.topics import create_topics
from modelyard_runtime.log import configure_logging, get_logger

log = get_logger(__name__)

APP_ID: Final = "monitor.detect"
TABLE: Final = "models"
CHANGELOG: Final = f"{APP_ID}-{TABLE}-changelog"
PARENT_CHECK_S: Final = 2.0
EXIT_UNFINISHED: Final = 3
STUCK_AFTER_S: Final = 300.0
"""A recovery that takes so long has ended unseen: Faust gives it up for good when the broker is away meanwhile."""


def rules_of(settings: Settings) -> Rules:
    return Rules(
        psi_window_rows=settings.psi_window_rows,
        psi_floor=settings.psi_floor,
        psi_fdr=settings.psi_fdr,
        micro_batch_rows=settings.micro_batch_rows,
        error_window_labels=settings.error_window_labels,
        error_rise=settings.error_rise,
        rearm_rows=settings.rearm_rows,
    )


def run(settings: Settings) -> int:
    """Work until SIGTERM; returns the exit code."""
    configure_logging("monitor-detect", settings.log_level)
    for noisy in ("faust", "mode", "aiokafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    (settings.data_dir / "detect").mkdir(parents=True, exist_ok=True)
    asyncio.run(_prepare(settings.kafka_bootstrap_servers))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = build(settings, loop)
    worker = faust.Worker(app, loglevel="WARNING", loop=loop, redirect_stdouts=False, override_logging=False)
    try:
        worker.execute_from_commandline()
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


async def _prepare(bootstrap: str) -> None:
    slices = topic(SliceSummarised.TOPIC)
    changelog = {"cleanup.policy": "compact", "max.message.bytes": str(8 * 1_048_576)}
    while True:
        try:
            await ensure_topics(bootstrap)
            await create_topics(bootstrap, {CHANGELOG: (slices.partitions, changelog)})
        except BrokerAway as error:
            log.warning("waiting for Kafka", error=str(error))
            await asyncio.sleep(1)
        else:
            return


def build(settings: Settings, loop: asyncio.AbstractEventLoop) -> faust.App:
    """The Faust app, wired."""
    slices = topic(SliceSummarised.TOPIC)
    app = _app(settings, loop, slices.partitions)
    progress = exactly(app, slices.name, lambda: detector.applied())
    source = app.topic(slices.name, key_serializer="raw", value_serializer="raw", partitions=slices.partitions)
    table = app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=slices.partitions)  # bytes: raw both ways
    registry = Registry(settings.registry_url, settings.admin_key)
    producer = Producer(settings.kafka_bootstrap_servers, "monitor")
    letters = DeadLetters(settings.kafka_bootstrap_servers, "monitor")
    detector = Detector(
        table, Snapshots(settings.admin_key), registry, producer, rules_of(settings), settings.clickhouse_database
    )
    apply = _applier(detector, cast(ConfirmedTable, table), Codec(registry), letters)

    @app.agent(source)
    async def detect(stream: Any) -> None:
        async for event in stream.events():
            await in_order(event, progress, app.consumer, apply)

    @app.on_before_shutdown.connect
    async def close(*_: Any, **__: Any) -> None:
        await producer.stop()
        await letters.close()
        registry.close()

    for task in (_tell_ready, _follow_parent, _leave_when_stuck):
        app.task(task)
    return app


def _app(settings: Settings, loop: asyncio.AbstractEventLoop, partitions: int) -> faust.App:
    """Faust that makes no topic, listens on no port and keeps its table in memory and in the changelog."""
    return faust.App(
        APP_ID,
        loop=loop,
        broker=";".join(f"kafka://{one.strip()}" for one in settings.kafka_bootstrap_servers.split(",")),
        store="memory://",
        datadir=str(settings.data_dir / "detect"),
        processing_guarantee="at_least_once",
        topic_partitions=partitions,
        topic_replication_factor=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        web_bind="127.0.0.1",
        stream_wait_empty=False,
        broker_commit_interval=1.0,
        broker_session_timeout=15.0,
        broker_heartbeat_interval=4.0,
        producer_max_request_size=8 * 1_048_576,
        consumer_auto_offset_reset="earliest",
        Table=ConfirmedTable,
        key_serializer="raw",
        value_serializer="raw",
    )


def _applier(detector: Detector, table: ConfirmedTable, codec: Codec, letters: DeadLetters) -> Apply:
    """What is done with a slice whose turn has come."""

    async def apply(event: Any) -> None:
        try:
            piece = codec.decode(event.value, SliceSummarised)
        except Undecodable as error:
            await letters.add(_received(event), str(error))
        else:
            await detector.handle(piece, (event.message.partition, event.message.offset))
            await table.confirmed()

    async def or_leave(event: Any) -> None:
        """An error nobody named ends the worker: the parent says so, waits, and starts one that reads it again."""
        try:
            await apply(event)
        except Exception as error:
            log.exception("left in the middle of a slice", error=repr(error))
            os._exit(EXIT_UNFINISHED)

    return or_leave


async def _tell_ready(app: faust.App) -> None:
    while not (app.consumer.assignment() and app.tables.actives_ready and not app.rebalancing):  # noqa: ASYNC110  Faust has no event for it
        await asyncio.sleep(0.1)
    print(f"\nready {APP_ID}\n", end="", flush=True)  # one write, a line of its own: the worker writes too


async def _leave_when_stuck(app: faust.App) -> None:
    since: float | None = None
    while not app.should_stop:
        await asyncio.sleep(PARENT_CHECK_S)
        now = asyncio.get_running_loop().time()
        since = (since or now) if app.rebalancing else None
        if since is not None and now - since > STUCK_AFTER_S:
            log.error("the table was not recovered in time, leaving", seconds=STUCK_AFTER_S)
            os._exit(EXIT_UNFINISHED)


async def _follow_parent() -> None:
    parent = os.environ.get(PARENT_VARIABLE)
    while parent and os.getppid() == int(parent):  # noqa: ASYNC110  nor the kernel
        await asyncio.sleep(PARENT_CHECK_S)
    if parent:
        log.warning("the monitor is gone, leaving")
        os._exit(0)


def _received(event: Any) -> Received:
    m = event.message
    return Received(m.topic, m.partition, m.offset, m.key, event.value, (), int((m.timestamp or 0) * 1000))
