"""Topics and their configuration."""

import pytest
from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
)
from confluent_kafka.admin import ConfigResource as ConfluentResource  # type: ignore[attr-defined]

from modelyard_devkafka.errors import Code
from modelyard_devkafka.testing import RawClient
from modelyard_devkafka.wire.admin_apis import CREATE_PARTITIONS, CREATE_TOPICS, INCREMENTAL_ALTER_CONFIGS
from modelyard_devkafka.wire.data_apis import METADATA
from modelyard_devstack.testing import eventually

from .kit import Kit, read_to_end

pytestmark = pytest.mark.server


def creation(name: str, partitions: int = 1, factor: int = 1, **configs: str | None) -> dict[str, object]:
    own = [{"name": key.replace("_", "."), "value": value} for key, value in configs.items()]
    return {"name": name, "num_partitions": partitions, "replication_factor": factor, "configs": own}


def create(kit: Kit, topic: dict[str, object], *, validate_only: bool = False) -> int:
    with RawClient(kit.bootstrap) as raw:
        reply = raw.ask(CREATE_TOPICS, 4, topics=[topic], timeout_ms=10_000, validate_only=validate_only)
    return int(reply["topics"][0]["error_code"])


async def test_a_topic_is_created_listed_described_deleted_and_created_again(kit: Kit) -> None:
    admin, name = await kit.admin(), await kit.topic(3)
    assert name in await admin.list_topics()
    [described] = await admin.describe_topics([name])
    assert sorted(p["partition"] for p in described["partitions"]) == [0, 1, 2]
    await kit.fill(name, 3)
    assert (await admin.delete_topics([name])).topic_error_codes[0][1] == 0
    assert name not in await admin.list_topics()
    assert (await admin.create_topics([NewTopic(name, 1, 1)])).topic_errors[0][1] == 0
    assert await kit.all_of(name) == [], "the new topic has nothing of the old one"


async def test_a_topic_that_exists_or_is_missing_is_reported(kit: Kit) -> None:
    name = await kit.topic()
    assert create(kit, creation(name)) == Code.TOPIC_ALREADY_EXISTS
    admin = await kit.admin()
    assert (await admin.delete_topics([kit.unique("none")])).topic_error_codes[0][1] == Code.UNKNOWN_TOPIC_OR_PARTITION


def test_requesting_a_topic_does_not_create_it(kit: Kit) -> None:
    name = kit.unique("none")
    with RawClient(kit.bootstrap) as raw:
        for _ in range(2):
            [topic] = raw.ask(METADATA, 4, topics=[name], allow_auto_topic_creation=True)["topics"]
            assert topic["error_code"] == Code.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("name", ["a b", "a/b", ".", "..", "größe", "", "x" * 250])
def test_a_bad_topic_name_is_refused(kit: Kit, name: str) -> None:
    assert create(kit, creation(name)) == Code.INVALID_TOPIC


@pytest.mark.parametrize(("partitions", "factor", "code"), [
    (1, 0, Code.INVALID_REPLICATION_FACTOR), (1, 1000, Code.INVALID_REPLICATION_FACTOR),
    (0, 1, Code.INVALID_PARTITIONS), (-1, -1, Code.NONE),
])  # fmt: skip
def test_partitions_and_replication_are_checked_and_have_defaults(
    kit: Kit, partitions: int, factor: int, code: Code
) -> None:
    assert create(kit, creation(kit.unique("topic"), partitions, factor)) == code


@pytest.mark.parametrize("own", [
    {"no_such_key": "1"}, {"retention_ms": "soon"}, {"cleanup_policy": "shred"}, {"max_message_bytes": "-1"},
    {"retention_ms": None},
])  # fmt: skip
def test_a_bad_configuration_is_refused(kit: Kit, own: dict[str, str | None]) -> None:
    assert create(kit, creation(kit.unique("topic"), 1, 1, **own)) == Code.INVALID_CONFIG


def test_validate_only_creates_nothing(kit: Kit) -> None:
    name = kit.unique("topic")
    assert create(kit, creation(name), validate_only=True) == Code.NONE
    assert create(kit, creation(name)) == Code.NONE


async def test_partitions_can_be_added_and_only_added(kit: Kit) -> None:
    admin, name = await kit.admin(), await kit.topic(2)
    with RawClient(kit.bootstrap) as raw:

        def grow(count: int, *, validate_only: bool) -> int:
            topics = [{"name": name, "count": count, "assignments": None}]
            reply = raw.ask(CREATE_PARTITIONS, 1, topics=topics, timeout_ms=10_000, validate_only=validate_only)
            return int(reply["topics"][0]["error_code"])

        assert grow(5, validate_only=True) == Code.NONE
        assert grow(1, validate_only=False) == Code.INVALID_PARTITIONS
        assert grow(2, validate_only=False) == Code.INVALID_PARTITIONS
    [before] = await admin.describe_topics([name])
    assert len(before["partitions"]) == 2
    await admin.create_partitions({name: NewPartitions(4)})

    async def partitions() -> bool:
        """Whether there are 4: the controller answers before every broker has the new metadata."""
        [after] = await admin.describe_topics([name])
        return len(after["partitions"]) == 4

    await eventually(partitions, 10, what="4 partitions")


async def test_configuration_is_described_and_altered(kit: Kit) -> None:
    admin, name = await kit.admin(), await kit.topic(retention_ms="12345")
    wanted = {"cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes", "message.timestamp.type",
              "delete.retention.ms", "segment.bytes", "min.insync.replicas", "compression.type"}  # fmt: skip

    async def described() -> dict[str, str]:
        [reply] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        return {entry[0]: entry[1] for entry in reply.resources[0][4]}

    before = await described()
    assert wanted <= before.keys()
    assert before["retention.ms"] == "12345"
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.bytes": "999"})])
    after = await described()
    assert (after["retention.bytes"], after["retention.ms"]) == ("999", before["retention.ms"]) or (
        after["retention.bytes"] == "999" and after["retention.ms"] != "12345"
    ), "alter replaces what it does not name (Kafka 4 keeps no AlterConfigs merge)"


async def test_configuration_is_altered_incrementally(kit: Kit) -> None:
    name = await kit.topic(retention_ms="12345")
    admin = AdminClient({"bootstrap.servers": kit.bootstrap})

    def alter(*entries: ConfigEntry) -> None:
        [future] = admin.incremental_alter_configs(
            [ConfluentResource("topic", name, incremental_configs=list(entries))]
        ).values()
        future.result(30)

    alter(ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND))
    alter(ConfigEntry("retention.bytes", "77", incremental_operation=AlterConfigOpType.SET))
    alter(ConfigEntry("cleanup.policy", "delete", incremental_operation=AlterConfigOpType.SUBTRACT))
    alter(ConfigEntry("retention.ms", "", incremental_operation=AlterConfigOpType.DELETE))
    [described] = [f.result(30) for f in admin.describe_configs([ConfluentResource("topic", name)]).values()]
    assert {key: described[key].value for key in ("cleanup.policy", "retention.bytes", "retention.ms")} == {
        "cleanup.policy": "compact", "retention.bytes": "77", "retention.ms": "604800000",
    }  # fmt: skip


@pytest.mark.parametrize(("key", "value", "code"), [
    ("no.such.key", "1", Code.INVALID_CONFIG), ("retention.ms", "soon", Code.INVALID_CONFIG),
])  # fmt: skip
async def test_a_bad_alteration_is_refused(kit: Kit, key: str, value: str, code: Code) -> None:
    assert alter_one(kit, await kit.topic(), key, value) == code


def test_an_alteration_of_a_missing_topic_is_refused(kit: Kit) -> None:
    assert alter_one(kit, kit.unique("none"), "retention.ms", "1") == Code.UNKNOWN_TOPIC_OR_PARTITION


def alter_one(kit: Kit, topic: str, key: str, value: str) -> int:
    config = {"name": key, "config_operation": 0, "value": value}
    resource = {"resource_type": 2, "resource_name": topic, "configs": [config]}
    with RawClient(kit.bootstrap) as raw:
        reply = raw.ask(INCREMENTAL_ALTER_CONFIGS, 0, resources=[resource], validate_only=False)
    return int(reply["resources"][0]["error_code"])


async def test_max_message_bytes_is_enforced(kit: Kit) -> None:
    name = await kit.topic(max_message_bytes="1000")
    producer = await kit.producer()
    await producer.send_and_wait(name, b"x" * 800)
    with pytest.raises(KafkaError):
        await producer.send_and_wait(name, b"x" * 5000)


async def test_a_compacted_topic_has_the_latest_value_of_every_key(kit: Kit) -> None:
    name = await kit.topic(cleanup_policy="compact")
    producer = await kit.producer(linger_ms=5)
    for number in range(150):
        await producer.send(name, b"%d" % number, key=b"k%d" % (number % 10))
    await producer.flush()
    latest = {record.key: record.value for record in await read_to_end(await kit.consumer(name))}
    assert latest == {b"k%d" % (n % 10): b"%d" % n for n in range(140, 150)}
