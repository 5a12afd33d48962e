"""The Faust worker: slices keyed by model and a table of states. `python -m modelyard_monitor detect`.

Faust guarantees at_least_once (its exactly_once loses and repeats records); the offsets in the state make repeats
harmless and hold the position to resume from (slice_order.py). All topics exist before the worker starts, the changelog
with as many partitions as the slices.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

import faust

from modelyard_contracts import SliceSummarised
from modelyard_contracts.codec import Codec, Undecodable
from modelyard_contracts.topics import topic
from modelyard_monitor.clients.registry import Registry
from modelyard_monitor.detect.confirmed_table import ConfirmedTable, read_in_order
from modelyard_monitor.detect.credentials import credentials
from modelyard_monitor.detect.detector import Detector
from modelyard_monitor.detect.host import keep_running
from modelyard_monitor.detect.instance import take_instance
from modelyard_monitor.detect.lifecycle import EXIT_UNFINISHED, exit_when_stuck, follow_parent, report_ready
from modelyard_monitor.detect.slice_order import Apply, in_order
from modelyard_monitor.detect.snapshot import Snapshots
from modelyard_monitor.domain.rules import Rules
from modelyard_monitor.settings import Settings
from modelyard_runtime.brokers import Brokers
from modelyard_runtime.errors import BrokerAway
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import DeadLetters, Producer, Received, ensure_topics
from modelyard_runtime.kafka.topics import create_topics
from modelyard_runtime.log import configure_logging, get_logger
from modelyard_runtime.schemas import RegistrySchemas
from modelyard_runtime.signing import Gate, NotSigned

log = get_logger(__name__)

APP_ID: Final = "monitor.detect"
TABLE: Final = "models"
CHANGELOG: Final = f"{APP_ID}-{TABLE}-changelog"
MAX_STATE_MESSAGE_BYTES: Final = 8 * 1_048_576


def rules_of(settings: Settings) -> Rules:
    """Return the detection rules that the settings hold."""
    return Rules(
        psi_window_rows=settings.psi_window_rows,
        psi_floor=settings.psi_floor,
        psi_fdr=settings.psi_fdr,
        micro_batch_rows=settings.micro_batch_rows,
        error_window_labels=settings.error_window_labels,
        error_rise=settings.error_rise,
        absolute_error_rise=settings.absolute_error_rise,
        rearm_rows=settings.rearm_rows,
        errors_in_bursts=settings.errors_in_bursts,
    )


def run(settings: Settings) -> int:
    """Keep a worker running until SIGTERM; return the exit code."""
    import scipy.special  # noqa: F401  here, so that no worker spends the time

    configure_logging("monitor-detect", settings.log_level)
    return keep_running(lambda: work(settings))


def work(settings: Settings) -> int:
    """Run one worker until SIGTERM; return the exit code."""
    for noisy in ("faust", "mode", "aiokafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    folder = settings.data_dir / "detect"
    folder.mkdir(parents=True, exist_ok=True)
    instance = take_instance(folder)
    asyncio.run(_create_topics(settings.brokers))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = build(settings, loop, instance.id if instance else "")
    worker = faust.Worker(app, loglevel="WARNING", loop=loop, redirect_stdouts=False, override_logging=False)
    try:
        worker.execute_from_commandline()
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


async def _create_topics(bootstrap: Brokers) -> None:
    slices = topic(SliceSummarised.TOPIC)
    changelog = {"cleanup.policy": "compact", "max.message.bytes": str(MAX_STATE_MESSAGE_BYTES)}
    while True:
        try:
            await ensure_topics(bootstrap)
            await create_topics(bootstrap, {CHANGELOG: (slices.partitions, changelog)})
        except BrokerAway as error:
            log.warning("waiting for Kafka", error=str(error))
            await asyncio.sleep(1)
        else:
            return


def build(settings: Settings, loop: asyncio.AbstractEventLoop, instance_id: str) -> faust.App:
    """Return the Faust app, wired. instance_id: see instance.py; '' for none."""
    slices = topic(SliceSummarised.TOPIC)
    app = _app(settings, loop, slices.partitions, instance_id)
    progress = read_in_order(app, slices.name, lambda: detector.applied())
    source = app.topic(slices.name, key_serializer="raw", value_serializer="raw", partitions=slices.partitions)
    table = app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=slices.partitions)  # bytes: raw both ways
    registry = Registry(settings.registry_url, settings.service_key)
    producer = Producer(settings.brokers, "monitor", signer=settings.signer("monitor"))
    letters = DeadLetters(settings.brokers, "monitor")
    secrets = settings.state_secrets()
    snapshots = Snapshots(lambda: secrets.ring)
    detector = Detector(table, snapshots, registry, producer, rules_of(settings), settings.clickhouse_database)
    codec = Codec(RegistrySchemas(settings.registry_url, settings.service_key))
    apply = _exit_on_error(
        slice_applier(detector, cast(ConfirmedTable, table), codec, letters, settings.gate("monitor", Readiness()))
    )

    @app.agent(source)
    async def detect(stream: Any) -> None:
        async for event in stream.events():
            await in_order(event, progress, app.consumer, apply)

    @app.on_before_shutdown.connect
    async def close(*_: Any, **__: Any) -> None:
        await producer.stop()
        await letters.close()
        registry.close()

    _add_lifecycle(app)
    return app


def _app(settings: Settings, loop: asyncio.AbstractEventLoop, partitions: int, instance_id: str) -> faust.App:
    """Return a Faust app that creates no topics, opens no port, and keeps its table in memory and in the changelog."""
    return faust.App(
        APP_ID,
        loop=loop,
        broker=";".join(f"kafka://{one.strip()}" for one in settings.kafka_bootstrap_servers.split(",")),
        broker_credentials=credentials(settings.brokers.security),
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
        consumer_group_instance_id=instance_id or None,
        producer_max_request_size=MAX_STATE_MESSAGE_BYTES,
        consumer_auto_offset_reset="earliest",
        Table=ConfirmedTable,
        key_serializer="raw",
        value_serializer="raw",
    )


class Detects(Protocol):
    """The part of the detector in use."""

    async def handle(self, piece: SliceSummarised, place: tuple[int, int]) -> object: ...


class Letters(Protocol):
    """The part of DeadLetters in use."""

    async def add(self, received: Received, reason: str) -> None: ...

    async def refuse(self, received: Received, reason: str) -> None: ...


class Confirms(Protocol):
    """The part of the table in use."""

    async def confirmed(self) -> None: ...


def slice_applier(detector: Detects, table: Confirms, codec: Codec, letters: Letters, gate: Gate) -> Apply:
    """Return the function that applies one slice and waits until its state is stored."""

    async def apply(event: Any) -> None:
        try:
            gate.check(_received(event))
            piece = codec.decode(event.value, SliceSummarised)
        except NotSigned as error:
            await letters.refuse(_received(event), str(error))
        except Undecodable as error:
            await letters.add(_received(event), str(error))
        else:
            await detector.handle(piece, (event.message.partition, event.message.offset))
            await table.confirmed()

    return apply


def _exit_on_error(apply: Apply) -> Apply:
    """Exit on an unknown error: the supervisor reports it and restarts the worker, which reads the slice again."""

    async def apply_or_exit(event: Any) -> None:
        try:
            await apply(event)
        except Exception as error:
            log.exception("slice not applied, exiting", error=repr(error))
            os._exit(EXIT_UNFINISHED)

    return apply_or_exit


def _add_lifecycle(app: faust.App) -> None:
    async def ready() -> None:
        await report_ready(app, APP_ID)

    async def stuck() -> None:
        await exit_when_stuck(app)

    async def orphaned() -> None:
        await follow_parent()

    for task in (ready, stuck, orphaned):
        app.task(task)


def _received(event: Any) -> Received:
    m = event.message
    headers = m.headers or ()
    raw = tuple(headers.items() if isinstance(headers, Mapping) else headers)
    return Received(m.topic, m.partition, m.offset, m.key, event.value, raw, int((m.timestamp or 0) * 1000))
