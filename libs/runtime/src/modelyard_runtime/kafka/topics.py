"""Topics are created from their `topic.yaml`, by the first service that needs them."""

import logging
from collections.abc import Iterable
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from modelyard_contracts.topics import DAY_MS, TopicSpec, all_topics
from modelyard_runtime.errors import BrokerAway, Unavailable

TOPIC_ALREADY_EXISTS: Final = 36
MAX_REPLICAS: Final = 3
DEAD_LETTER_CONFIG: Final = {
    "cleanup.policy": "delete",
    "retention.ms": str(30 * DAY_MS),
    "max.message.bytes": str(16 * 1_048_576),  # a letter is larger than its message
}
log = logging.getLogger(__name__)


async def ensure_topics(
    bootstrap: str, topics: Iterable[TopicSpec] | None = None, *, dead_letters_of: str | None = None
) -> None:
    """Create the missing `topics` (None: all of schemas/), and with `dead_letters_of` a service's dead letters.

    Existing topics are not changed. BrokerAway when Kafka cannot be reached.
    """
    specs = list(all_topics() if topics is None else topics)
    wanted: dict[str, tuple[int, dict[str, str]]] = {spec.name: (spec.partitions, spec.config()) for spec in specs}
    if dead_letters_of is not None:
        wanted |= {f"{spec.name}.{dead_letters_of}.dlq": (1, DEAD_LETTER_CONFIG) for spec in specs}
    await create_topics(bootstrap, wanted)


async def create_topics(bootstrap: str, wanted: dict[str, tuple[int, dict[str, str]]]) -> None:
    """Create the missing ones of {name: (partitions, configuration)}."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=20_000)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = {name: how for name, how in wanted.items() if name not in existing}
        if missing:
            await _create(admin, missing)
    except (KafkaError, OSError) as error:
        raise BrokerAway(f"Kafka at {bootstrap}: {error}") from error
    finally:
        await admin.close()


async def _create(admin: Any, missing: dict[str, tuple[int, dict[str, str]]]) -> None:
    cluster = await admin.describe_cluster()
    replicas = max(1, min(MAX_REPLICAS, len(cluster["brokers"])))
    answer = await admin.create_topics(
        [NewTopic(name, partitions, replicas, topic_configs=config) for name, (partitions, config) in missing.items()]
    )
    for name, code, *rest in answer.topic_errors:
        if code not in (0, TOPIC_ALREADY_EXISTS):
            raise Unavailable(f"Kafka refused to create topic {name}: error {code} {' '.join(map(str, rest))}")
        if code == 0:
            log.info("created topic %s", name)
