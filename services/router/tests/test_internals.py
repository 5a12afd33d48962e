"""The internals of aiokafka and uvicorn that the router depends on are as it expects; else the public API is used."""

import pytest
from aiokafka import AIOKafkaProducer
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelyard_router.fastpath import protocol
from modelyard_router.spool import aiokafka_internals
from modelyard_runtime.connection import GuardedProtocol


def test_aiokafkas_batch_builder_is_as_expected() -> None:
    assert aiokafka_internals.changed_internals() == set()


def test_uvicorns_protocol_is_as_expected() -> None:
    assert protocol.missing_internals() == []
    assert issubclass(protocol.protocol_of(lambda: None), HttpToolsProtocol)


def test_without_them_every_request_takes_the_ordinary_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "NEEDED", ("self.not_there",))
    assert protocol.protocol_of(lambda: None) is GuardedProtocol


async def test_without_them_batches_are_built_by_aiokafka() -> None:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
    batch = aiokafka_internals.new_batch(producer, 1_000, 0, prebuilt=False)
    assert batch.append(b"key", b"value", b"trace")
    await producer.stop()
