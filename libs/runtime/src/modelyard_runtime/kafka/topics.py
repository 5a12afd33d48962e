"""Topics are created from their `topic.yaml`, by the first service that needs them."""

import logging
from collections.abc import Iterable
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from modelyard_contracts.topics import DAY_MS, TopicSpec, all_topics
from modelyard_runtime.brokers import Bootstrap, client_settings
from modelyard_runtime.errors import BrokerAway, Unavailable
from modelyard_runtime.kafka.access_errors import GRANT, explain, start_client

TOPIC_AUTHORIZATION_FAILED: Final = 29
TOPIC_ALREADY_EXISTS: Final = 36
MAX_REPLICAS: Final = 3
DEAD_LETTER_CONFIG: Final = {
    "cleanup.policy": "delete",
    "retention.ms": str(30 * DAY_MS),
    "max.message.bytes": str(16 * 1_048_576),  # a letter is larger than its message
}
log = logging.getLogger(__name__)


async def ensure_topics(
    bootstrap: Bootstrap, topics: Iterable[TopicSpec] | None = None, *, dead_letters_of: str | None = None
) -> None:
    """Create the missing `topics` (None: all of schemas/), and with `dead_letters_of` a service's dead letters.

    Existing topics are not changed. BrokerAway when Kafka cannot be reached. Of all topics, those that this principal
    may not create are left to the services that use them.
    """
    specs = list(all_topics() if topics is None else topics)
    wanted: dict[str, tuple[int, dict[str, str]]] = {spec.name: (spec.partitions, spec.config()) for spec in specs}
    if dead_letters_of is not None:
        wanted |= {f"{spec.name}.{dead_letters_of}.dlq": (1, DEAD_LETTER_CONFIG) for spec in specs}
    await create_topics(bootstrap, wanted, only_permitted=topics is None)


async def create_topics(
    bootstrap: Bootstrap, wanted: dict[str, tuple[int, dict[str, str]]], *, only_permitted: bool = False
) -> None:
    """Create the missing ones of {name: (partitions, configuration)}; a topic that may not be seen counts as missing.

    only_permitted: leave out those that this principal may not create, instead of failing.
    """
    admin = AIOKafkaAdminClient(**client_settings(bootstrap), request_timeout_ms=20_000)
    try:
        await start_client(admin, bootstrap)
        existing = set(await admin.list_topics())
        missing = {name: how for name, how in wanted.items() if name not in existing}
        if missing:
            await _create(admin, missing, only_permitted)
    except (KafkaError, OSError) as error:
        raise BrokerAway(f"Kafka at {bootstrap}: {explain(error, bootstrap)}") from error
    finally:
        await admin.close()


async def _create(admin: Any, missing: dict[str, tuple[int, dict[str, str]]], only_permitted: bool) -> None:
    cluster = await admin.describe_cluster()
    replicas = max(1, min(MAX_REPLICAS, len(cluster["brokers"])))
    answer = await admin.create_topics(
        [NewTopic(name, partitions, replicas, topic_configs=config) for name, (partitions, config) in missing.items()]
    )
    for name, code, *rest in answer.topic_errors:
        if code == TOPIC_AUTHORIZATION_FAILED and only_permitted:
            continue
        if code == TOPIC_AUTHORIZATION_FAILED:
            raise Unavailable(f"topic {name} is missing or hidden, and may not be created here; {GRANT}")
        if code not in (0, TOPIC_ALREADY_EXISTS):
            raise Unavailable(f"Kafka refused to create topic {name}: error {code} {' '.join(map(str, rest))}")
        if code == 0:
            log.info("created topic %s", name)
