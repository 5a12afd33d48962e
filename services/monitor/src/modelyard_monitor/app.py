"""The composition root: alone reads settings and opens connections; closes them in reverse."""

import asyncio
from typing import Final

from modelyard_contracts import FeedbackReceived, PredictionLogged
from modelyard_contracts.codec import Codec
from modelyard_monitor import api
from modelyard_monitor.child import DetectChild
from modelyard_monitor.clickhouse import ClickHouse, ClickHouseAway, LazyClient
from modelyard_monitor.ingest.audit import AuditIngest, control_topics
from modelyard_monitor.ingest.labels import LabelIngest
from modelyard_monitor.ingest.late import LateJoiner
from modelyard_monitor.ingest.planned import PlannedIngest, Store
from modelyard_monitor.ingest.predictions import PredictionIngest
from modelyard_monitor.queries import Questions
from modelyard_monitor.registry import Registry
from modelyard_monitor.settings import Settings
from modelyard_runtime.auth import Authenticator, registry_introspection
from modelyard_runtime.clock import system_clock
from modelyard_runtime.errors import Retryable, StartupError
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.kafka import DeadLetters, Producer
from modelyard_runtime.log import get_logger
from modelyard_runtime.service import Background, Service
from modelyard_runtime.wakeup import pause

log = get_logger(__name__)

CLICKHOUSE_WITHIN_S: Final = 60.0
RETRY_S: Final = 0.2
RETRY_LABELS_S: Final = 1.0


def build(settings: Settings) -> Service:
    """The whole service, wired; nothing is connected before it runs."""
    readiness = Readiness()
    password = settings.clickhouse_password.get_secret_value()
    clickhouse = ClickHouse(
        LazyClient(settings.clickhouse_url, settings.clickhouse_user, password), settings.clickhouse_database
    )
    registry = Registry(settings.registry_url, settings.admin_key)
    producer = Producer(settings.kafka_bootstrap_servers, "monitor", linger_ms=5)
    letters = DeadLetters(settings.kafka_bootstrap_servers, "monitor")
    ingests = _ingests(settings, clickhouse, registry, producer, letters, readiness)
    background: list[Background] = []
    if "ingest" in settings.roles:
        joiner = LateJoiner(clickhouse, producer, system_clock, settings.late_join_days)
        background += [one.run for one in ingests]
        background.append(_late_loop(joiner, ingests[1], settings.late_join_every_s))
    if "detect" in settings.roles:
        background.append(DetectChild(readiness).run)
    authenticator = Authenticator(
        settings.admin_key, registry_introspection(settings.registry_url, settings.admin_key), system_clock
    )
    app = create_app(
        service="monitor",
        authenticator=authenticator,
        readiness=readiness,
        consumers=[one.consumer for one in ingests if "ingest" in settings.roles],
    )
    if "api" in settings.roles:
        api.add_routes(app, Questions(clickhouse), ingests)

    async def on_start() -> None:
        await _migrated(clickhouse, settings.clickhouse_url)

    async def on_stop() -> None:
        await letters.close()
        await producer.stop()
        registry.close()
        clickhouse.close()

    return Service("monitor", settings, app, background, on_start, on_stop, readiness)


def _ingests(
    settings: Settings,
    clickhouse: ClickHouse,
    registry: Registry,
    producer: Producer,
    letters: DeadLetters,
    readiness: Readiness,
) -> tuple[PlannedIngest, ...]:
    """Predictions, labels and control events, each in a group of its own, so that none waits for another."""
    codec = Codec(registry)
    predictions = PredictionIngest(clickhouse, registry, codec, producer, letters)
    labels = LabelIngest(clickhouse, codec, producer, letters, system_clock, settings.label_grace_s)
    audit = AuditIngest(clickhouse, codec, letters)
    stores: dict[str, dict[str, Store]] = {
        "monitor.ingest": {PredictionLogged.TOPIC: predictions.store},
        "monitor.labels": {FeedbackReceived.TOPIC: labels.store},
        "monitor.audit": dict.fromkeys(control_topics(), audit.store),
    }
    # A label mostly comes before its prediction is stored: that is due within a flush, so asking sooner is idle work.
    pauses_s = {"monitor.labels": min(settings.flush_s / 2, RETRY_LABELS_S)}
    return tuple(
        PlannedIngest(
            settings=settings,
            group=group,
            stores=topics,
            dead_letters=letters,
            readiness=readiness,
            retry_min_s=pauses_s.get(group, RETRY_S),
        )
        for group, topics in stores.items()
    )


def _late_loop(joiner: LateJoiner, labels: PlannedIngest, every_s: float) -> Background:
    async def run(stop: asyncio.Event) -> None:
        known: set[int] = set()
        while not stop.is_set():
            partitions = {partition for _, partition in labels.consumer.assignment()}
            joiner.forget(partitions - known)
            known = partitions
            try:
                for partition in await joiner.due(partitions) if partitions else ():
                    await joiner.join(partition)
            except Retryable as error:
                log.warning("late labels wait", partitions=sorted(partitions), error=str(error))
            await pause(stop, every_s)

    return run


async def _migrated(clickhouse: ClickHouse, url: str) -> None:
    """Bring the tables up to date; StartupError when ClickHouse does not answer within a minute."""
    deadline = asyncio.get_running_loop().time() + CLICKHOUSE_WITHIN_S
    while True:
        try:
            await asyncio.to_thread(clickhouse.migrate)
        except ClickHouseAway as error:
            if asyncio.get_running_loop().time() > deadline:
                raise StartupError(
                    f"CLICKHOUSE_URL: no ClickHouse at {url} ({error}); start it or correct it"
                ) from error
            log.warning("waiting for ClickHouse", error=str(error))
            await asyncio.sleep(1)
        else:
            return
