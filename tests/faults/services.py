"""A whole local stack of real processes on one small disk."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx

from modelyard import RegistryClient, VersionInfo
from modelyard_cli.stack.commands import start_stack, stop_stack
from modelyard_cli.stack.credentials import CredentialFiles
from modelyard_cli.stack.layout import Layout
from modelyard_cli.stack.signers import SignerFiles
from modelyard_cli.stack.state import running_state
from modelyard_contracts import Message
from modelyard_contracts.codec import encode
from modelyard_contracts.keyring import KeyRingFile
from modelyard_contracts.manifest import FileEntry, ModelManifest, TrainingLineage, digest_of, signed
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_contracts.topics import all_topics, topic
from modelyard_contracts.trust import ANY_WRITER, writers_of
from modelyard_devstack.testing import Process
from modelyard_runtime.headers import message_headers
from modelyard_runtime.kafka import Producer
from modelyard_runtime.signing import EventSigner

from .disk import SmallDisk

NAMES: Final = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")
DISK_MIB: Final = 128
TESTS: Final = "tests"
"""Name of the tests' signer of requests."""


class Stack:
    """A stack started by `modelyard up`, with all data and logs on `disk`."""

    def __init__(self, disk: SmallDisk) -> None:
        self.disk = disk
        self.folder = disk.folder / "stack"

    @property
    def state(self) -> dict[str, Any]:
        return running_state(self.folder)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of services and servers; a restart changes them."""
        state = self.state
        servers = {name: state[name]["pid"] for name in ("kafka", "clickhouse")}
        return {name: service["pid"] for name, service in state["services"].items()} | servers

    @property
    def key_file(self) -> Path:
        return self.folder / "admin.key"

    def ask(self, name: str, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key_file.read_text().strip()}"}
        url = self.state["services"][name]["url"]
        return httpx.request(method, f"{url}{path}", headers=headers, timeout=60, **more)

    async def forge(self, *messages: Message) -> None:
        """Send messages as somebody would who may write to Kafka and has no signing key."""
        producer = Producer(self.state["kafka"]["bootstrap"], "test")
        try:
            for message in messages:
                await producer.send(message)
        finally:
            await producer.stop()

    async def send(self, *messages: Message) -> None:
        """Send messages to their topics, in this order, signed by a writer of each."""
        producer = Producer(self.state["kafka"]["bootstrap"], "test")
        try:
            for message in messages:
                key, value = message.key.encode(), encode(message)
                headers = self.signer(message.TOPIC).sign(message.TOPIC, key, message_headers(message), value)
                await producer.send_bytes(message.TOPIC, key, value, headers)
        finally:
            await producer.stop()

    def signer(self, name: str) -> EventSigner:
        """The service that writes the topic, or the tests' own signer of requests."""
        writer = next((writer for writer in writers_of(topic(name)) if writer != ANY_WRITER), TESTS)
        ring = KeyRingFile(CredentialFiles(self.folder).signing(writer))
        return EventSigner(writer, lambda: ring.ring)

    def trust_tests(self) -> None:
        """Let the tests request runs and evaluations by events, as an upstream producer may."""
        Layout(self.folder).prepare()
        files = CredentialFiles(self.folder)
        requests = tuple(spec.name for spec in all_topics() if ANY_WRITER in spec.writers)
        SignerFiles(TESTS, files.signing(TESTS), files.trust).add(requests)


def registered(stack: Stack, model: str) -> VersionInfo:
    """Register a version whose file is not a model."""
    data = model.encode()
    manifest = ModelManifest(
        model=model,
        flavour="sklearn",
        files=(FileEntry(path="model.skops", digest=digest_of(data), size_bytes=len(data)),),
        **signed(Signature(columns=(Column(name="price"),), output=Output(task=Task.BINARY, classes=("down", "up")))),
        training=TrainingLineage(recipe="test"),
    )
    with RegistryClient(stack.state["services"]["registry"]["url"], stack.key_file.read_text().strip()) as client:
        client.create_model(model)
        client.put_blob(data)
        made = client.create_version(manifest, idempotency_key=model)
        return client.finalize_version(model, made.version)


@contextlib.contextmanager
def started(root: Path) -> Iterator[Stack]:
    """A ready stack; stopped and removed afterwards."""
    stack = Stack(SmallDisk(root / "disk", DISK_MIB))
    try:
        stack.trust_tests()
        start_stack(stack.folder, any_ports=True)
        yield stack
    finally:
        stack.disk.free()
        stop_stack(stack.folder)
        stack.disk.close()


def service(name: str, folder: Path, env: Mapping[str, str]) -> Process:
    """One service, not started. Its dependencies are down unless `env` names them."""
    key = folder / "admin.key"
    key.write_text("an admin key of the fault tests")
    secrets = folder / "state.keys"
    secrets.write_text("1:a state secret of the fault tests\n")
    down = {f"{other.upper()}_URL": "http://127.0.0.1:1" for other in (*NAMES, "clickhouse")}
    own = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "MODELYARD_ADMIN_KEY_FILE": str(key),
        "MONITOR_STATE_SECRET_FILE": str(secrets),
        f"{name.upper()}_PORT": "0",
        f"{name.upper()}_DATA_DIR": str(folder / name),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    return Process([sys.executable, "-m", f"modelyard_{name}"], {**down, **own, **env})
