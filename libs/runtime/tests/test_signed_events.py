"""Events that nobody signed, in front of a real consumer: never applied, reported, and no hindrance to the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer

from modelyard_contracts import EvaluationFinished, TrainingRunRequested, Verdict
from modelyard_contracts.codec import Codec, encode
from modelyard_devstack.testing import DevServer, eventually, remains
from modelyard_devstack.testing.signing import Signers
from modelyard_runtime.clock import system_clock
from modelyard_runtime.database import Database
from modelyard_runtime.headers import message_headers, to_wire
from modelyard_runtime.health import Readiness
from modelyard_runtime.kafka import EventConsumer, Producer, ensure_topics, list_dead_letters, resend_dead_letters
from modelyard_runtime.relay import OutboxRelay
from modelyard_runtime.signing.frame import HEADER

pytestmark = pytest.mark.server
SIGNERS = Signers.fresh(airflow=(TrainingRunRequested.TOPIC,))
TOPIC = EvaluationFinished.TOPIC


def verdict(model: str = "churn") -> EvaluationFinished:
    return EvaluationFinished(
        event_id=uuid4(),
        occurred_at=datetime(2026, 11, 20, tzinfo=UTC),
        correlation_id=uuid4(),
        model=model,
        evaluation_id=uuid4(),
        challenger_version=2,
        challenger_digest="sha256:" + "0" * 64,
        verdict=Verdict.DEPLOY,
        reasons=("better",),
    )


class Registry:
    """A service that reads verdicts."""

    def __init__(self, bootstrap: str) -> None:
        self.applied: list[UUID] = []
        self.fails = False
        self.readiness = Readiness()
        self.consumer = EventConsumer(
            bootstrap=bootstrap,
            group=f"registry.{uuid4().hex}",
            service="registry",
            handlers={EvaluationFinished: self._on_verdict},
            codec=Codec(),
            readiness=self.readiness,
            gate=SIGNERS.gate("registry", self.readiness),
        )

    async def _on_verdict(self, event: EvaluationFinished, _: Any) -> None:
        if self.fails:
            raise UnusableError("not now")
        self.applied.append(event.event_id)


class UnusableError(ValueError):
    retryable = False


@pytest.fixture
def bootstrap(own_devkafka: DevServer) -> str:
    """A broker of its own, as the topics are the real ones."""
    return own_devkafka.bootstrap


@asynccontextmanager
async def running(*works: Any) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(work.run(stop)) for work in works]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 60)


async def flood(bootstrap: str, events: list[EvaluationFinished], signer: str | None) -> None:
    """Write events as somebody with the right to write to the topic would."""
    await ensure_topics(bootstrap)
    client = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20)
    await client.start()
    try:
        for event in events:
            headers = message_headers(event)
            if signer is not None:
                headers = SIGNERS.signer(signer).sign(TOPIC, event.key.encode(), headers, encode(event))
            await client.send(TOPIC, encode(event), key=event.key.encode(), headers=to_wire(headers), partition=0)
        await client.flush()
    finally:
        await client.stop()


@pytest.mark.parametrize("signer", [None, "trainer"])
async def test_a_forged_verdict_is_a_dead_letter_and_the_honest_ones_around_it_are_applied(
    bootstrap: str, signer: str | None
) -> None:
    registry = Registry(bootstrap)
    honest = [verdict(), verdict()]
    await flood(bootstrap, honest[:1], "evaluator")
    await flood(bootstrap, [verdict()], signer)
    await flood(bootstrap, honest[1:], "evaluator")
    async with running(registry.consumer):
        await eventually(lambda: len(registry.applied) == 2, 60)
        assert registry.applied == [event.event_id for event in honest]
        assert registry.readiness.ready
        assert "not signed by evaluator" in str(registry.readiness.as_dict())
    [letter] = await list_dead_letters(bootstrap, TOPIC, "registry")
    assert letter.reason.startswith("not signed by evaluator")


async def test_a_flood_of_forged_events_stops_no_partition_and_fills_no_disk(bootstrap: str) -> None:
    """More than the dead letters that stop a partition, in a row and in share."""
    registry = Registry(bootstrap)
    honest = [verdict() for _ in range(3)]
    await flood(bootstrap, [verdict() for _ in range(1_500)], None)
    await flood(bootstrap, honest[:1], "evaluator")
    await flood(bootstrap, [verdict() for _ in range(1_500)], "trainer")
    await flood(bootstrap, honest[1:], "evaluator")
    async with running(registry.consumer):
        await eventually(lambda: len(registry.applied) == 3, 120)
        assert registry.consumer.stopped_partitions() == {}
    assert registry.applied == [event.event_id for event in honest]
    kept = await list_dead_letters(bootstrap, TOPIC, "registry", 5_000)
    assert 0 < len(kept) <= 600, "60 per minute"


async def test_unreadable_events_of_the_writer_itself_still_stop_the_partition(bootstrap: str) -> None:
    registry = Registry(bootstrap)
    registry.fails = True
    await flood(bootstrap, [verdict() for _ in range(120)], "evaluator")
    async with running(registry.consumer):
        await eventually(lambda: registry.consumer.stopped_partitions(), 60)


async def test_a_signature_survives_a_dead_letter_and_its_resend(bootstrap: str) -> None:
    registry = Registry(bootstrap)
    registry.fails = True
    event = verdict()
    await flood(bootstrap, [event], "evaluator")
    async with running(registry.consumer):
        while not await list_dead_letters(bootstrap, TOPIC, "registry"):
            await remains(lambda: registry.applied == [], 0.2, what="nothing is applied")
        registry.fails = False
        assert await resend_dead_letters(bootstrap, TOPIC, "registry") == 1
        await eventually(lambda: registry.applied == [event.event_id], 60)


async def test_what_the_outbox_relay_and_a_producer_send_is_signed(bootstrap: str, database: Database) -> None:
    registry = Registry(bootstrap)
    queued, sent, unsigned = verdict(), verdict(), verdict()
    with database.transaction() as tx:
        tx.outbox.add(queued, key=queued.key)
    relay = OutboxRelay(database, bootstrap, "evaluator", signer=SIGNERS.signer("evaluator"))
    producer = Producer(bootstrap, "evaluator", signer=SIGNERS.signer("evaluator"))
    nobody = Producer(bootstrap, "evaluator")
    async with running(relay, registry.consumer):
        await nobody.send(unsigned)
        await producer.send(sent)
        await eventually(lambda: len(registry.applied) == 2, 60)
    await producer.stop()
    await nobody.stop()
    assert set(registry.applied) == {queued.event_id, sent.event_id}


def test_an_upstream_producer_signs_without_a_service() -> None:
    request = TrainingRunRequested(
        event_id=uuid4(),
        occurred_at=system_clock(),
        correlation_id=uuid4(),
        model="churn",
        requested_by="airflow",
        reason="nightly",
    )
    headers = SIGNERS.signer("airflow").sign(request.TOPIC, b"churn", message_headers(request), encode(request))
    assert headers[HEADER].startswith("1.airflow.1.")
