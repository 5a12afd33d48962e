"""The Kafka of the deployment, with exactly the rights that `modelyard kafka acls` lists."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from modelyard_devstack.testing.secured_kafka import SecuredKafka, start_secured
from modelyard_runtime.kafka import ensure_topics
from modelyard_runtime.kafka.acl_setup import add_acls
from modelyard_runtime.kafka.acls import acls


@pytest.fixture
def kafka(secured_kafka: SecuredKafka, given_server: None) -> SecuredKafka:
    return secured_kafka


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredKafka]:
    home = os.environ.get("KAFKA_HOME")
    if not home:
        pytest.skip("access rights need a real Kafka: set KAFKA_HOME")
    kafka = start_secured(tmp_path_factory.mktemp("secured"), home)
    try:
        asyncio.run(_prepare(kafka))
        yield kafka
    finally:
        kafka.process.stop()


async def _prepare(kafka: SecuredKafka) -> None:
    await add_acls(kafka.brokers("admin"), acls())
    await ensure_topics(kafka.brokers("admin"))
