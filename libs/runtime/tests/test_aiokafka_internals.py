"""The private layout of aiokafka is the one that our code was written for; without it the public API is used."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from modelyard_devstack.testing import eventually
from modelyard_runtime.kafka import aiokafka_internals
from modelyard_runtime.kafka.aiokafka_internals import (
    VERSIONS,
    committed_offset,
    layout_problems,
    stop_producer,
)


@pytest.fixture(params=["private", "public"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both paths must give the same."""
    if request.param == "public":
        monkeypatch.setattr(aiokafka_internals, "layout_problems", lambda: ("another layout",))
    yield request.param


def test_the_layout_is_the_one_that_was_tested() -> None:
    """When this fails: read the changed classes, run the tests of this file, then add the version to VERSIONS."""
    assert layout_problems() == ()


def test_another_version_and_a_missing_attribute_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiokafka.__version__", "0.15.0")
    monkeypatch.delattr("aiokafka.consumer.group_coordinator.GroupCoordinator._do_commit_offsets")
    layout_problems.cache_clear()
    try:
        assert layout_problems() == (
            f"version 0.15.0 is not in {VERSIONS}",
            "GroupCoordinator._do_commit_offsets is missing",
        )
    finally:
        layout_problems.cache_clear()


@pytest.mark.server
async def test_events_are_consumed_and_committed_on_either_path(toys: Any, path: str) -> None:
    seen: list[int] = []
    await toys.send("a", range(30))
    async with toys.consuming(lambda message, _: seen.append(message.number)):
        await eventually(lambda: len(seen) == 30)
    assert seen == list(range(30))
    assert await toys.committed() == 30


@pytest.mark.server
async def test_a_commit_is_read_with_its_metadata_on_either_path(toys: Any, path: str) -> None:
    from aiokafka.structs import OffsetAndMetadata

    place = TopicPartition(toys.name, 0)
    client = AIOKafkaConsumer(bootstrap_servers=toys.bootstrap, group_id=toys.group, enable_auto_commit=False)
    await client.start()
    try:
        client.assign([place])
        assert await committed_offset(client, toys.bootstrap, toys.group, place) is None
        await client.commit({place: OffsetAndMetadata(0, "plan 1")})
        found = await committed_offset(client, toys.bootstrap, toys.group, place)
        assert (found.offset, found.metadata) == (0, "plan 1")
    finally:
        await client.stop()


@pytest.mark.server
async def test_a_producer_stops_on_either_path(toys: Any, path: str) -> None:
    for _ in range(2):  # the second one takes over the id of the first
        producer = AIOKafkaProducer(bootstrap_servers=toys.bootstrap, transactional_id=toys.group)
        await producer.start()
        async with producer.transaction():
            await producer.send_and_wait(toys.name, b"x")
        async with asyncio.timeout(10):
            await stop_producer(producer)
