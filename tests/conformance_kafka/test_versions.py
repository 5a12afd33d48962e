"""The message definitions read what another Kafka says: each version that it also offers is asked for and understood.

On the development broker this says little (one writer, one reader); on a real one it proves the definitions.
"""

import pytest

from modelyard_devkafka.testing import RawClient
from modelyard_devkafka.wire.admin_apis import ADMIN_APIS, API_VERSIONS, DESCRIBE_CONFIGS
from modelyard_devkafka.wire.api import Api
from modelyard_devkafka.wire.data_apis import DATA_APIS, FETCH, LIST_OFFSETS, METADATA, OFFSET_FOR_LEADER_EPOCH
from modelyard_devkafka.wire.group_apis import DESCRIBE_GROUPS, GROUP_APIS, HEARTBEAT, LIST_GROUPS, OFFSET_FETCH
from modelyard_devkafka.wire.schema import Message
from modelyard_devkafka.wire.transaction_apis import TRANSACTION_APIS

from .kit import Kit

pytestmark = pytest.mark.server
ALL = (*DATA_APIS, *GROUP_APIS, *TRANSACTION_APIS, *ADMIN_APIS)
HARMLESS = (API_VERSIONS, METADATA, FETCH, LIST_OFFSETS, OFFSET_FOR_LEADER_EPOCH, OFFSET_FETCH, DESCRIBE_GROUPS,
            LIST_GROUPS, HEARTBEAT, DESCRIBE_CONFIGS)  # fmt: skip
CASES = [pytest.param(api, v, id=f"{api.name}-v{v}") for api in HARMLESS for v in range(api.first, api.last + 1)]


def offered(raw: RawClient) -> dict[int, range]:
    keys = raw.ask(API_VERSIONS, 2)["api_keys"]
    return {key["api_key"]: range(key["min_version"], key["max_version"] + 1) for key in keys}


def question(api: Api, topic: str) -> Message:
    """About a topic with one record."""
    item = {"index": 0, "fetch_offset": 0, "max_bytes": 1000, "timestamp": -1, "leader_epoch": 0,
            "current_leader_epoch": -1, "log_start_offset": -1}  # fmt: skip
    topics: list[object] = [{"name": topic, "partitions": [0 if api is OFFSET_FETCH else item]}]
    return {
        "topics": [topic] if api is METADATA else topics, "replica_id": -1, "max_wait_ms": 0, "min_bytes": 0,
        "max_bytes": 1000, "session_epoch": -1, "rack_id": "", "group_id": "nobody", "groups": ["nobody"],
        "member_id": "nobody", "generation_id": 1, "resources": [{"resource_type": 2, "resource_name": topic}],
        "client_software_name": "raw", "client_software_version": "1",
    }  # fmt: skip


@pytest.mark.parametrize(("api", "version"), CASES)
async def test_a_version_is_understood(kit: Kit, api: Api, version: int) -> None:
    topic = await kit.topic()
    await kit.fill(topic, 1)
    with RawClient(kit.bootstrap) as raw:
        if version not in offered(raw).get(api.key, range(0)):
            pytest.skip("this Kafka does not offer it any more")
        names = {field.name for field in api.request}
        fields = {name: value for name, value in question(api, topic).items() if name in names}
        reply = raw.ask(api, version, **fields)
    assert reply.keys() == {field.name for field in api.response}
    if api is FETCH:
        assert bytes(reply["topics"][0]["partitions"][0]["records"]).endswith(b"k0\x020\x00")


def test_the_development_broker_offers_no_version_that_kafka_never_had(kit: Kit) -> None:
    with RawClient(kit.bootstrap) as raw:
        theirs = offered(raw)
    assert not [api.name for api in ALL if api.key not in theirs or api.last not in theirs[api.key]]
