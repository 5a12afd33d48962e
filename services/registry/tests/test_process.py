"""The service as a process: start, stop, and a Kafka that is late, repeats events or goes away."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from modelyard import ApiError, ApiUnavailable, RegistryClient
from modelyard_contracts import Message, ResourceChanged, RolloutState, Verdict, VersionStage
from modelyard_contracts.codec import decode, encode
from modelyard_devstack.testing import DevServer, Process, eventually, wait_until
from modelyard_registry.testing import ADMIN_KEY

from .conftest import evaluation, manifest_of, rollout

NO_BROKER = "127.0.0.1:1"


class Service(Process):
    """One registry in one folder; a restart continues there."""

    def __init__(self, folder: Path, bootstrap: str, **env: str) -> None:
        (folder / "admin.key").write_text(ADMIN_KEY)
        values = {
            "MODELYARD_ADMIN_KEY_FILE": str(folder / "admin.key"),
            "REGISTRY_DATA_DIR": str(folder / "data"),
            "REGISTRY_PORT": "0",
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        }
        super().__init__([sys.executable, "-m", "modelyard_registry"], {**values, **env})

    @property
    def client(self) -> RegistryClient:
        return RegistryClient(str(self.address), ADMIN_KEY, timeout_s=60)


@pytest.fixture
def without_kafka(tmp_path: Path, loopback: None) -> Iterator[Service]:
    """A registry that cannot reach Kafka."""
    service = Service(tmp_path, NO_BROKER)
    yield service.start()
    service.kill()


def _register(client: RegistryClient, data: bytes, model: str = "elec") -> Any:
    client.create_model(model)
    client.put_blob(data)
    made = client.create_version(manifest_of(model, m=data), idempotency_key=data.decode())
    return client.finalize_version(model, made.version)


def test_it_answers_while_kafka_is_away_and_stops_in_order(without_kafka: Service) -> None:
    with without_kafka.client as client:
        assert client.ready()
        assert _register(client, b"one").stage is VersionStage.REGISTERED
        waiting = client.request("GET", "/metrics").text
    assert "modelyard_registry_outbox_unsent" in waiting
    assert without_kafka.stop() == 0


def test_a_kill_loses_nothing_that_was_answered(without_kafka: Service) -> None:
    with without_kafka.client as client:
        version = _register(client, b"one")
        moved = client.move_alias("elec", "shadow", 1, expected_generation=0, reason="x")
        history = client.history("elec")
    without_kafka.kill()
    without_kafka.start()
    with without_kafka.client as client:
        assert client.version("elec", 1) == version.model_copy(update={"aliases": ("shadow",)})
        assert client.alias("elec", "shadow") == moved
        assert client.history("elec") == history
        assert client.get_blob(manifest_of("elec", m=b"one").files[0].digest) == b"one"


def test_it_is_small(without_kafka: Service) -> None:
    with without_kafka.client as client:
        _register(client, b"one")
    status = Path(f"/proc/{without_kafka.pid}/status").read_text()
    resident_mib = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    assert resident_mib < 150


@pytest.mark.parametrize(
    ("env", "published"),
    [
        ({"REGISTRY_DATABASE_URL": "nonsense"}, "database_url"),
        ({"REGISTRY_DATABASE_URL": "postgresql://none@127.0.0.1:1/none"}, "REGISTRY_DATABASE_URL"),
        ({"MODELYARD_ADMIN_KEY_FILE": "/nowhere/key"}, "MODELYARD_ADMIN_KEY_FILE"),
        ({"REGISTRY_DATA_DIR": "/proc/nowhere"}, "REGISTRY_DATA_DIR"),
        ({"REGISTRY_MAX_BLOB_BYTES": "lots"}, "REGISTRY_MAX_BLOB_BYTES"),
        ({"REGISTRY_KEY_HASH_SECRET_FILE": "/nowhere/secret"}, "REGISTRY_KEY_HASH_SECRET_FILE"),
        ({"REGISTRY_SERVICE_KEYS_DIR": "/nowhere/keys"}, "REGISTRY_SERVICE_KEYS_DIR"),
    ],
)
def test_a_bad_setting_ends_the_start_with_one_line_that_names_it(
    tmp_path: Path, loopback: None, env: dict[str, str], published: str
) -> None:
    service = Service(tmp_path, NO_BROKER, **env).start(ready=False)
    assert service.wait(60) == 2
    assert published in service.output and "Traceback" not in service.output


def test_a_port_in_use_is_reported(tmp_path: Path, without_kafka: Service) -> None:
    port = str(without_kafka.address).rpartition(":")[2]
    other = Service(tmp_path, NO_BROKER, REGISTRY_PORT=port).start(ready=False)
    assert other.wait(60) == 2
    assert "REGISTRY_PORT" in other.output


def test_two_starting_together_on_one_database_both_come_up(tmp_path: Path, loopback: None) -> None:
    services = [Service(tmp_path, NO_BROKER).start(ready=False) for _ in range(2)]
    try:
        for service in services:
            service.wait_ready()
        with services[0].client as one, services[1].client as two:
            _register(one, b"one")
            assert two.version("elec", 1).stage is VersionStage.REGISTERED
    finally:
        for service in services:
            service.kill()


async def _send(bootstrap: str, *events: Message) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for event in events:
            await producer.send_and_wait(event.TOPIC, encode(event), key=event.key.encode())


async def _published(bootstrap: str, model: str, count: int, timeout_s: float = 60) -> list[ResourceChanged]:
    """The first `count` distinct events of a model on the topic; repeats of one event are dropped as readers do."""
    found: dict[Any, ResourceChanged] = {}
    consumer = AIOKafkaConsumer(ResourceChanged.TOPIC, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    deadline = time.monotonic() + timeout_s
    async with consumer:
        while len(found) < count and time.monotonic() < deadline:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    event = decode(record.value, ResourceChanged)
                    if event.model == model:
                        found.setdefault(event.event_id, event)
    return list(found.values())


@pytest.fixture
def served(tmp_path: Path, own_devkafka: DevServer) -> Iterator[Service]:
    service = Service(tmp_path, own_devkafka.bootstrap)
    yield service.start()
    service.kill()


@pytest.mark.server
async def test_events_come_in_and_go_out_through_a_broker(served: Service, own_devkafka: DevServer) -> None:
    with served.client as client:
        version = _register(client, b"one")
        event = evaluation(version, Verdict.DEPLOY)
        await eventually(lambda: "consumer" in json.dumps(client.get("/health/ready")))
        await _send(own_devkafka.bootstrap, event, event)
        await eventually(lambda: client.version("elec", 1).stage is VersionStage.APPROVED, 60)
        promoted = rollout(version, RolloutState.PROMOTED, at=event.occurred_at)
        await _send(own_devkafka.bootstrap, promoted, promoted, event)
        await eventually(lambda: client.version("elec", 1).stage is VersionStage.LIVE, 60)
        published = await _published(own_devkafka.bootstrap, "elec", 6)
        assert [(one.revision, one.change.value, one.stage) for one in published] == [
            (1, "created", None),
            (2, "version_registered", VersionStage.REGISTERED),
            (3, "version_moved", VersionStage.EVALUATED),
            (4, "version_moved", VersionStage.APPROVED),
            (5, "version_moved", VersionStage.LIVE),
            (6, "alias_moved", None),
        ]


@pytest.mark.server
async def test_what_happened_while_kafka_was_away_is_published_in_order_when_it_is_back(
    tmp_path: Path, own_devkafka: DevServer
) -> None:
    own_devkafka.kill()
    service = Service(tmp_path, own_devkafka.bootstrap).start()
    try:
        with service.client as client:
            for number in range(5):
                _register(client, f"bytes {number}".encode())
        service.kill()
        own_devkafka.start()
        service.start()
        published = await _published(own_devkafka.bootstrap, "elec", 6)
        assert [event.revision for event in published] == [1, 2, 3, 4, 5, 6]
    finally:
        service.kill()


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(300)  # many starts, and each may take a minute on a busy machine
async def test_kills_while_it_works_lose_no_event_and_repeat_no_move(served: Service, own_devkafka: DevServer) -> None:
    """Versions are registered and evaluated while the process is killed again and again."""
    done = 0
    for restart in range(3):
        with served.client as client:
            for number in range(4):
                version = _register(client, f"restart {restart} bytes {number}".encode())
                await _send(own_devkafka.bootstrap, evaluation(version, Verdict.REJECT, event_id=uuid4()))
                done += 1
        os.killpg(served.pid, signal.SIGKILL)
        served.wait()
        served.start()
    with served.client as client:

        def all_rejected() -> bool:
            try:
                return all(one.stage is VersionStage.REJECTED for one in client.versions("elec"))
            except ApiUnavailable:
                return False

        await eventually(all_rejected, 90)
        history = client.history("elec")
    published = await _published(own_devkafka.bootstrap, "elec", 1 + 2 * done)
    assert [event.revision for event in published] == list(range(1, 2 + 2 * done))
    assert [entry.event_id for entry in history if entry.revision] == [str(event.event_id) for event in published]


@pytest.mark.server
async def test_an_event_about_an_unknown_version_becomes_a_dead_letter_and_the_next_is_handled(
    served: Service, own_devkafka: DevServer
) -> None:
    with served.client as client:
        version = _register(client, b"one")
        good = evaluation(version, Verdict.DEPLOY)
        wrong = good.model_copy(update={"event_id": uuid4(), "challenger_version": 77})
        await eventually(lambda: client.get("/health/ready")["ready"])
        await _send(own_devkafka.bootstrap, wrong, good)
        await eventually(lambda: client.version("elec", 1).stage is VersionStage.APPROVED, 60)
    consumer = AIOKafkaConsumer(
        f"{good.TOPIC}.registry.dlq", bootstrap_servers=own_devkafka.bootstrap, auto_offset_reset="earliest"
    )
    async with consumer:
        letter = await consumer.getone()
    assert b"no version 77" in dict(letter.headers)["dlq_reason"] or "77" in str(letter.headers)


def test_a_new_service_key_is_noticed_without_a_restart(tmp_path: Path, loopback: None) -> None:
    folder = tmp_path / "service-keys"
    folder.mkdir()
    service = Service(tmp_path, NO_BROKER, REGISTRY_SERVICE_KEYS_DIR=str(folder)).start()
    try:
        (folder / "trainer.key").write_text("a key of the trainer, long enough")
        with service.client as client:
            wait_until(lambda: client.introspect("a key of the trainer, long enough")["active"])
        with RegistryClient(str(service.address), "a key of the trainer, long enough") as trainer:
            wait_until(lambda: _accepted(trainer))
            assert trainer.create_model("elec").name == "elec"
    finally:
        service.kill()


def _accepted(client: RegistryClient) -> bool:
    try:
        client.has_blob("sha256:" + "0" * 64)
    except ApiError as error:
        return error.status != 401
    return True
