"""Every offered version of every API is answered completely."""

from pathlib import Path
from typing import Any

import pytest

from modelyard_devkafka import DevKafka
from modelyard_devkafka.errors import Code
from modelyard_devkafka.handlers.table import TABLE
from modelyard_devkafka.testing import ConnectionLost, RawClient, record_batch
from modelyard_devkafka.wire.admin_apis import ADMIN_APIS, API_VERSIONS
from modelyard_devkafka.wire.api import Api
from modelyard_devkafka.wire.data_apis import DATA_APIS, METADATA
from modelyard_devkafka.wire.group_apis import GROUP_APIS, JOIN_GROUP
from modelyard_devkafka.wire.transaction_apis import TRANSACTION_APIS

ALL = [*DATA_APIS, *GROUP_APIS, *TRANSACTION_APIS, *ADMIN_APIS]
OFFERED = [
    pytest.param(api, version, id=f"{api.name}-v{version}") for api in ALL for version in range(api.first, api.last + 1)
]
TOPIC = "events"

_PARTITION: dict[str, Any] = {
    "index": 0, "records": record_batch([b"x"]), "fetch_offset": 0, "max_bytes": 1000, "timestamp": -1, "offset": 0,
    "current_leader_epoch": -1, "leader_epoch": 0, "committed_offset": 1, "committed_leader_epoch": -1,
    "committed_metadata": "m", "log_start_offset": -1,
}  # fmt: skip
BARE_PARTITIONS = {"OffsetFetch", "AddPartitionsToTxn"}
BARE_TOPICS = {"Metadata", "DeleteTopics"}


def plausible(api: Api) -> dict[str, Any]:
    """A request with a value in every field."""
    topics: list[Any] = [{"name": TOPIC, "partitions": [0 if api.name in BARE_PARTITIONS else _PARTITION]}]
    if api.name in BARE_TOPICS:
        topics = [TOPIC]
    if api.name == "CreateTopics":
        topics = [{"name": "more", "num_partitions": 1, "replication_factor": 1, "configs": []}]
    if api.name == "CreatePartitions":
        topics = [{"name": TOPIC, "count": 2}]
    resource = {"resource_type": 2, "resource_name": TOPIC, "configs": [{"name": "retention.ms", "value": "1000"}]}
    return {
        "acks": -1, "timeout_ms": 1000, "topics": topics, "replica_id": -1, "max_wait_ms": 0, "min_bytes": 0,
        "max_bytes": 1000, "session_epoch": -1, "rack_id": "", "group_id": "g", "generation_id": -1, "member_id": "",
        "key": "g", "session_timeout_ms": 6000, "rebalance_timeout_ms": 1000, "protocol_type": "consumer",
        "protocols": [{"name": "range", "metadata": b"m"}], "groups": ["g"], "transactional_id": "t",
        "transaction_timeout_ms": 1000, "producer_id": 0, "producer_epoch": 0, "committed": True,
        "members": [{"member_id": "", "group_instance_id": "i"}], "assignments": [], "resources": [resource],
        "client_software_name": "raw", "client_software_version": "1",
    }  # fmt: skip


def for_api(api: Api) -> dict[str, Any]:
    names = {field.name for field in api.request}
    return {name: value for name, value in plausible(api).items() if name in names}


@pytest.mark.parametrize(("api", "version"), OFFERED)
def test_an_offered_version_is_answered(client: RawClient, api: Api, version: int) -> None:
    client.create_topic(TOPIC)
    fields = for_api(api)
    if api.name == "Produce" and version < 3:
        fields["topics"] = [{"name": TOPIC, "partitions": [{"index": 0, "records": b""}]}]
    reply = client.ask(api, version, **fields)
    assert reply.keys() == {field.name for field in api.response}


def test_api_versions_offers_what_the_table_holds(client: RawClient) -> None:
    offered = client.ask(API_VERSIONS, 2)["api_keys"]
    assert {k["api_key"]: (k["min_version"], k["max_version"]) for k in offered} == {
        api.key: (api.first, api.last) for api in ALL
    }
    assert set(TABLE) == {api.key for api in ALL}


def test_an_unknown_api_versions_version_is_answered_in_version_0(client: RawClient) -> None:
    unknown = Api(18, "ApiVersions", 0, 9, API_VERSIONS.request, API_VERSIONS.response, flexible_from=3)
    client.send(unknown, 9, client_software_name="x", client_software_version="1")
    reply = client.receive(API_VERSIONS, 0)
    assert reply["error_code"] == Code.UNSUPPORTED_VERSION
    assert reply["api_keys"]


@pytest.mark.parametrize("frame", [b"\x00\x00\x00\x04abcd", b"\x7f\xff\xff\xffabcd", b"\xff\xff\xff\xff" + b"x" * 20])
def test_garbage_closes_the_connection_and_nothing_else(kafka: DevKafka, client: RawClient, frame: bytes) -> None:
    client.send_bytes(frame)
    with pytest.raises(ConnectionLost):
        client.receive(METADATA, 5)
    with RawClient(kafka.bootstrap) as other:
        assert other.ask(METADATA, 5, topics=None)["controller_id"] == 1


@pytest.mark.parametrize("api", ALL, ids=lambda api: api.name)
def test_a_request_cut_anywhere_never_stops_the_broker(kafka: DevKafka, api: Api) -> None:
    fields = for_api(api)
    whole = b"".join(api.reads(api.last).encode(fields))
    for cut in range(0, len(whole), max(1, len(whole) // 12)):
        with RawClient(kafka.bootstrap, timeout_seconds=5) as broken:
            head = api.key.to_bytes(2, "big") + api.last.to_bytes(2, "big") + bytes(4) + b"\xff\xff"
            head += b"\0" if api.flexible(api.last) else b""
            broken.send_bytes((len(head) + cut).to_bytes(4, "big") + head + whole[:cut])
    with RawClient(kafka.bootstrap) as other:
        assert other.ask(METADATA, 5, topics=None)["controller_id"] == 1


@pytest.mark.parametrize("half", [b"\x00", b"\x00\x00\x00", b"\x00\x00\x01\x00", b"\x00\x00\x01\x00\x00\x03\x00\x05"])
def test_half_a_request_is_closed_in_time_and_an_idle_connection_is_not(tmp_path: Path, half: bytes) -> None:
    with DevKafka(tmp_path, frame_timeout_s=0.3) as kafka, RawClient(kafka.bootstrap, timeout_seconds=60) as idle:
        assert idle.ask(METADATA, 5, topics=None)["controller_id"] == 1
        with RawClient(kafka.bootstrap, timeout_seconds=60) as broken:
            broken.send_bytes(half)
            with pytest.raises(ConnectionLost):
                broken.receive(METADATA, 5)
        assert idle.ask(METADATA, 5, topics=None)["controller_id"] == 1


def test_a_join_in_an_old_version_is_answered_at_once(client: RawClient) -> None:
    for version in (0, 1, 2, 3):
        fields = {**for_api(JOIN_GROUP), "group_id": f"g{version}"}
        reply = client.ask(JOIN_GROUP, version, **fields)
        assert (reply["error_code"], reply["generation_id"], reply["leader"]) == (0, 1, reply["member_id"])
