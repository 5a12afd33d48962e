"""Each service's own client code does what it must with its own rights, and nothing that is another's."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
)
from sqlalchemy import insert, select

from modelyard_contracts import FeedbackReceived, Message, PredictionLogged, RouteApplied, RoutePublished
from modelyard_contracts.codec import Codec
from modelyard_contracts.topics import all_topics, topic
from modelyard_deployer.events.handlers import USE_CASES
from modelyard_devstack.testing import Process, eventually
from modelyard_devstack.testing.secured_kafka import SecuredKafka
from modelyard_evaluator.events.handlers import handlers as evaluator_handlers
from modelyard_monitor.ingest.control_events import control_topics
from modelyard_registry.events import handlers as registry_handlers
from modelyard_router.domain.counters import Counters
from modelyard_router.domain.records import FEEDBACK, PREDICTION
from modelyard_router.events.announcer import Announcer
from modelyard_router.events.reader import RouteReader
from modelyard_router.spool.shipper import Shipper, ShipperOptions
from modelyard_router.spool.spool import Spool
from modelyard_router.store.acknowledged import Acknowledged
from modelyard_router.store.route_tables import RouteTables
from modelyard_runtime.brokers import Brokers, client_settings
from modelyard_runtime.clock import system_clock
from modelyard_runtime.database import Database, open_engine
from modelyard_runtime.errors import BrokerAway, Unavailable
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import (
    BatchConsumer,
    DeadLetters,
    EventConsumer,
    Producer,
    Received,
    ensure_topics,
    list_dead_letters,
    resend_dead_letters,
)
from modelyard_runtime.kafka.acls import OPERATOR, SERVICES, STATEFUL, UPSTREAM, writers_of
from modelyard_runtime.kafka.topics import create_topics
from modelyard_runtime.relay import OutboxRelay
from modelyard_runtime.tables import OUTBOX
from modelyard_trainer.events.handlers import handlers as trainer_handlers

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(180)]
NOTHING: Final[Any] = None
HANDLED: Final[Mapping[str, Iterable[type[Message]]]] = {
    "registry": registry_handlers(NOTHING),
    "trainer": trainer_handlers(NOTHING),
    "evaluator": evaluator_handlers(NOTHING, lambda: None),
    "deployer": USE_CASES,
}
"""What each service reads, from its own table of handlers."""
Background = Callable[[asyncio.Event], Any]


@asynccontextmanager
async def running(*parts: Background) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(part(stop)) for part in parts]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def written_by(name: str) -> list[str]:
    return [spec.name for spec in all_topics() if name in writers_of(spec)]


async def ends(kafka: SecuredKafka, name: str) -> int:
    """Sum of the end offsets of a topic, as the administrator sees it."""
    consumer = AIOKafkaConsumer(**client_settings(kafka.brokers("admin")))
    await consumer.start()
    try:
        parts = [TopicPartition(name, number) for number in range(topic(name).partitions)]
        return sum((await consumer.end_offsets(parts)).values())
    finally:
        await consumer.stop()


async def send(brokers: Brokers, name: str, value: bytes = b"not avro") -> None:
    producer = Producer(brokers, "test", request_timeout_ms=10_000)
    try:
        await producer.send_bytes(name, "key", value)
    finally:
        await producer.stop()


# -- what each must do -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STATEFUL)
async def test_a_service_sends_its_outbox(kafka: SecuredKafka, tmp_path: Path, name: str) -> None:
    database = Database(open_engine(f"sqlite:///{tmp_path}/service.db"), system_clock)
    OUTBOX.metadata.create_all(database.engine)
    topics = written_by(name)
    assert topics
    before = [await ends(kafka, each) for each in topics]
    with database.transaction() as tx:
        for each in topics:
            row = {"event_id": uuid4(), "topic": each, "key": "k", "headers": "{}", "body": b"x"}
            tx.connection.execute(insert(OUTBOX).values(**row, queued_at=system_clock()))
    readiness = Readiness()
    async with running(OutboxRelay(database, kafka.brokers(name), name, readiness=readiness).run):
        await eventually(lambda: _all_sent(database), what=f"{name}: {readiness.as_dict()}")
    database.close()
    assert all(after > first for after, first in zip([await ends(kafka, each) for each in topics], before, strict=True))


def _all_sent(database: Database) -> bool:
    with database.read() as connection:
        return all(row.sent_at is not None for row in connection.execute(select(OUTBOX)))


@pytest.mark.parametrize("name", STATEFUL)
async def test_a_service_reads_its_events_and_writes_its_dead_letters(kafka: SecuredKafka, name: str) -> None:
    async def unexpected(*_: object) -> None:
        raise AssertionError("these bytes are no event")

    topics = [message.TOPIC for message in HANDLED[name]]
    for each in topics:
        await send(kafka.brokers("admin"), each)
    readiness = Readiness()
    consumer = EventConsumer(
        bootstrap=kafka.brokers(name),
        group=name,
        service=name,
        handlers=dict.fromkeys(HANDLED[name], unexpected),
        codec=Codec(),
        readiness=readiness,
    )

    async def all_buried() -> bool:
        return all([await list_dead_letters(kafka.brokers(OPERATOR), each, name) for each in topics])

    async with running(consumer.run):
        await eventually(all_buried, 60, what=f"{name}: {readiness.as_dict()}")


async def test_the_operator_sends_dead_letters_back(kafka: SecuredKafka) -> None:
    service = "evaluator"
    name = next(iter(HANDLED[service])).TOPIC
    letters = DeadLetters(kafka.brokers(service), service)
    await letters.add(Received(name, 0, 7, "k", b"again"), "a reason")
    await letters.close()
    before = await ends(kafka, name)
    waiting = await list_dead_letters(kafka.brokers(OPERATOR), name, service)
    assert await resend_dead_letters(kafka.brokers(OPERATOR), name, service) == len(waiting) > 0
    assert await ends(kafka, name) == before + len(waiting)


async def test_the_router_ships_its_spool_reads_tables_and_acknowledges_them(
    kafka: SecuredKafka, tmp_path: Path
) -> None:
    brokers, readiness = kafka.brokers("router"), Readiness()
    (tmp_path / "spool").mkdir()
    spool = Spool(tmp_path / "spool", max_bytes=1 << 20)
    shipper = Shipper(spool, ShipperOptions(brokers, "router-test"), readiness)
    announcer = Announcer(brokers, "router-test", system_clock, Acknowledged(tmp_path))
    tables = RouteTables(tmp_path, NOTHING, lambda: None)
    reader = RouteReader(brokers, tables, announcer, readiness, Counters(), Codec())
    names = (PredictionLogged.TOPIC, FeedbackReceived.TOPIC, RouteApplied.TOPIC)
    before = [await ends(kafka, name) for name in names]
    for kind in (PREDICTION, FEEDBACK):
        spool.append(kind, b"key", b"value")
    announcer.announce(_published(), accepted=True)
    async with running(shipper.run, announcer.run, reader.run):
        await eventually(lambda: shipper.unsent == 0 and not shipper.broker_away, what=shipper.reason)
        await eventually(lambda: reader.caught_up, what=str(readiness.as_dict()))

        async def acknowledged() -> bool:
            return await ends(kafka, RouteApplied.TOPIC) > before[2]

        await eventually(acknowledged, what="the acknowledgement")
    spool.close()
    assert [await ends(kafka, name) > first for name, first in zip(names, before, strict=True)] == [True] * 3


def _published() -> RoutePublished:
    return RoutePublished(
        event_id=uuid4(),
        occurred_at=system_clock(),
        correlation_id=uuid4(),
        cause_id=uuid4(),
        route="r",
        model="m",
        sequence=1,
        salt="s",
    )


async def test_the_monitor_reads_its_groups_and_sends_slices(kafka: SecuredKafka) -> None:
    brokers = kafka.brokers("monitor")
    groups = {
        "monitor.ingest": ("serving.prediction.logged.v1", "serving.generation.logged.v1"),
        "monitor.labels": (FeedbackReceived.TOPIC,),
        "monitor.audit": control_topics(),
    }
    letters = DeadLetters(brokers, "monitor")

    async def store(*_: object) -> None: ...

    consumers = [
        BatchConsumer(bootstrap=brokers, group=group, topics=topics, on_batch=store, dead_letters=letters)
        for group, topics in groups.items()
    ]
    async with running(*(consumer.run for consumer in consumers)):
        for consumer in consumers:
            wanted = {(name, number) for name in consumer.topics for number in range(topic(name).partitions)}
            await eventually(lambda c=consumer, w=wanted: c.assignment() == w, what=consumer.group)  # type: ignore[misc]
            name = next(iter(consumer.topics))
            await consumer.commit(name, 0, 0, "a plan")
            assert await consumer.committed(name, 0) == (0, "a plan")
    for name in written_by("monitor"):
        await send(brokers, name)


def test_the_detect_worker_reads_slices_and_stores_its_state(kafka: SecuredKafka, tmp_path: Path) -> None:
    (tmp_path / "admin.key").write_text("a" * 40)
    (tmp_path / "state.keys").write_text(f"1:{'s' * 40}\n")
    environment = {
        **kafka.environment("monitor"),
        "MODELYARD_ADMIN_KEY_FILE": str(tmp_path / "admin.key"),
        "MONITOR_STATE_SECRET_FILE": str(tmp_path / "state.keys"),
        "MONITOR_DATA_DIR": str(tmp_path / "monitor"),
        "REGISTRY_URL": "http://127.0.0.1:1",
        "OMP_NUM_THREADS": "1",
    }
    worker = Process([sys.executable, "-m", "modelyard_monitor", "detect"], environment)
    slices = "monitoring.slice.summarised.v1"

    async def buried() -> bool:
        return bool(await list_dead_letters(kafka.brokers(OPERATOR), slices, "monitor"))

    try:
        worker.start()
        asyncio.run(send(kafka.brokers("monitor"), slices))
        asyncio.run(_until(buried))
        asyncio.run(send(kafka.brokers("monitor"), "monitor.detect-models-changelog", b"state"))
    finally:
        worker.kill()


async def _until(condition: Callable[[], Any]) -> None:
    await eventually(condition)


async def test_a_producer_outside_the_platform_sends_predictions_and_labels(kafka: SecuredKafka) -> None:
    assert len(written_by(UPSTREAM)) == 3
    for name in written_by(UPSTREAM):
        before = await ends(kafka, name)
        await send(kafka.brokers(UPSTREAM), name)
        assert await ends(kafka, name) == before + 1


# -- what none may do --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SERVICES, OPERATOR, UPSTREAM])
async def test_no_principal_writes_another_ones_topic(kafka: SecuredKafka, name: str) -> None:
    foreign = [spec.name for spec in all_topics() if not _may_write(name, spec)]
    assert foreign if name != OPERATOR else True
    producer = AIOKafkaProducer(**client_settings(kafka.brokers(name)), request_timeout_ms=10_000)
    await producer.start()
    try:
        for each in foreign:
            with pytest.raises(TopicAuthorizationFailedError):
                await producer.send_and_wait(each, b"forged", key=b"key")
    finally:
        await producer.stop()


def _may_write(name: str, spec: Any) -> bool:
    return name in writers_of(spec) or name == OPERATOR


async def test_the_trainer_cannot_forge_a_route_table_a_verdict_or_a_version(kafka: SecuredKafka) -> None:
    """The same through our own producer: a sentence that names the topic."""
    for name in ("deployment.route.published.v1", "evaluation.run.finished.v1", "registry.resource.changed.v1"):
        before = await ends(kafka, name)
        with pytest.raises(BrokerAway, match=rf"user 'trainer' lacks a right on the topic {name}; .* kafka acls"):
            await send(kafka.brokers("trainer"), name)
        assert await ends(kafka, name) == before


@pytest.mark.parametrize(
    ("name", "topic_name"),
    [
        (UPSTREAM, "serving.prediction.logged.v1"),
        ("trainer", "serving.feedback.received.v1"),
        ("router", "registry.resource.changed.v1"),
        ("deployer", "training.run.requested.v1.trainer.dlq"),
    ],
)
async def test_no_principal_reads_what_it_does_not_need(kafka: SecuredKafka, name: str, topic_name: str) -> None:
    await create_topics(kafka.brokers("admin"), {topic_name: (1, {})})
    consumer = AIOKafkaConsumer(topic_name, **client_settings(kafka.brokers(name)), auto_offset_reset="earliest")
    try:
        with pytest.raises((TopicAuthorizationFailedError, UnknownTopicOrPartitionError)):  # the second: it is hidden
            await consumer.start()
            await eventually(lambda: consumer.getmany(timeout_ms=500), 10)
    finally:
        await consumer.stop()


async def test_another_services_group_is_closed_and_health_names_it(kafka: SecuredKafka) -> None:
    """Otherwise a stolen credential could take events away from their reader by joining its group."""

    async def store(*_: object) -> None: ...

    brokers, readiness = kafka.brokers("trainer"), Readiness()
    consumer = BatchConsumer(
        bootstrap=brokers,
        group="deployer",
        topics=["monitoring.alert.raised.v1"],
        on_batch=store,
        dead_letters=DeadLetters(brokers, "trainer"),
        readiness=readiness,
    )
    async with running(consumer.run):
        await eventually(lambda: "lacks a right on the group deployer" in str(readiness.as_dict()), 30)
        assert not readiness.ready
        assert consumer.assignment() == set()


async def test_another_services_transactional_id_is_closed(kafka: SecuredKafka) -> None:
    """Otherwise one service could fence another's outbox, and its events would stop."""
    settings = client_settings(kafka.brokers("trainer"))
    producer = AIOKafkaProducer(**settings, transactional_id="modelyard.deployer.outbox.0123456789ab")
    with pytest.raises(TransactionalIdAuthorizationFailed):
        await producer.start()
    with contextlib.suppress(Exception):
        await producer.stop()


async def test_a_topic_that_may_not_be_created_is_named(kafka: SecuredKafka) -> None:
    hidden = topic("registry.resource.changed.v1").model_copy(update={"name": "registry.other.changed.v1"})
    with pytest.raises(Unavailable, match=r"topic registry.other.changed.v1 is missing or hidden"):
        await ensure_topics(kafka.brokers("registry"), [hidden])


def test_nobody_enters_without_a_password(kafka: SecuredKafka) -> None:
    with pytest.raises(BrokerAway, match="KAFKA_SECURITY_PROTOCOL"):
        asyncio.run(ensure_topics(kafka.brokers("admin").bootstrap))
