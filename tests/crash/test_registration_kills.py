"""kill -9 of the registry or of `modelyard register` at each step of a registration; the same command then succeeds.

Both are real processes. A proxy between them stops at a step, kills one of them, and breaks the connection off.
"""

import contextlib
import http.client
import json
import os
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from modelyard import RegistryClient
from modelyard_contracts import ResourceChanged, VersionStage
from modelyard_contracts.codec import decode
from modelyard_devstack.testing import Process, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # some twenty starts of processes on a busy machine

KEY = "an-admin-key-for-tests"
NOBODY = "http://127.0.0.1:1"
SIDES = ("registry", "command")
RULES = "def predict(rows):\n    return ['review' if (row['amount'] or 0) > 900 else 'pass' for row in rows]\n"
WEIGHTS_BYTES = 4_000_000
HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


@dataclass(frozen=True)
class Step:
    """A request of the registration and the moment in it: before, during or after it is handled."""

    request: str
    moment: str


STEPS = (
    Step(r"GET /v1/models/\w+", "before"),
    Step(r"POST /v1/models", "before"),
    Step(r"POST /v1/models", "after"),
    Step(r"POST /v1/models/\w+/versions", "before"),
    Step(r"POST /v1/models/\w+/versions", "after"),
    Step(r"PUT /v1/blobs/.*", "before"),
    Step(r"PUT /v1/blobs/.*", "during"),
    Step(r"PUT /v1/blobs/.*", "after"),
    Step(r"POST /v1/models/\w+/versions/1/finalize", "before"),
    Step(r"POST /v1/models/\w+/versions/1/finalize", "during"),
    Step(r"POST /v1/models/\w+/versions/1/finalize", "after"),
)


@dataclass
class Proxy:
    """Forwards requests to `target`; at the step, once, it calls `kill` and breaks the connection off."""

    target: str = ""
    step: Step | None = None
    kill: Callable[[], None] = lambda: None
    scanning: Callable[[], bool] = lambda: True
    killed: threading.Event = field(default_factory=threading.Event)

    def at(self, line: str, moment: str) -> bool:
        """Whether to kill now; true once."""
        step = self.step
        if step is None or step.moment != moment or not re.fullmatch(step.request, line):
            return False
        self.step = None
        return True

    def strike(self) -> None:
        self.kill()
        self.killed.set()

    def serve(self) -> ThreadingHTTPServer:
        proxy = self

        class Handler(_Forwarding):
            owner = proxy

        return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


class _Forwarding(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Proxy

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def _forward(self) -> None:
        self.close_connection = True
        owner, line = self.owner, f"{self.command} {urlsplit(self.path).path}"
        if owner.at(line, "before"):
            owner.strike()
            return
        body = self._body()
        upstream = http.client.HTTPConnection(urlsplit(owner.target).netloc, timeout=120)
        try:
            during = owner.at(line, "during")
            self._send(upstream, body, half=during and self.command == "PUT")
            if during:
                wait_until(lambda: self.command == "PUT" or owner.scanning(), 60, what="the scan has begun")
                owner.strike()
                return
            response = upstream.getresponse()
            data = response.read()
            if owner.at(line, "after"):
                owner.strike()
                return
            self._reply(response, data)
        except (OSError, http.client.HTTPException):
            return  # the registry is gone: so is this connection
        finally:
            upstream.close()

    do_GET = do_POST = do_PUT = do_HEAD = do_PATCH = do_DELETE = _forward

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def _send(self, upstream: http.client.HTTPConnection, body: bytes, *, half: bool) -> None:
        upstream.putrequest(self.command, self.path, skip_host=False, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP | {"host"}:
                upstream.putheader(name, value)
        upstream.putheader("content-length", str(len(body)))
        upstream.endheaders()
        upstream.send(body[: len(body) // 2] if half else body)

    def _reply(self, response: http.client.HTTPResponse, data: bytes) -> None:
        self.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in HOP | {"date", "server"}:
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("content-length", str(len(data)))
        self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@dataclass
class Bench:
    """A registry without Kafka, the proxy before it, and a model to register."""

    folder: Path
    registry: Process
    proxy: Proxy
    address: str

    def start(self) -> None:
        self.proxy.target = str(self.registry.start().address)

    def register(self, model: str) -> Process:
        command = [sys.executable, "-m", "modelyard_cli", "register", str(self.folder / "rules"), model]
        options = ["--task", "binary", "--allow-code", "--reason", "a test", "--no-follow", "-o", "json"]
        names = ("TRAINER", "EVALUATOR", "DEPLOYER", "ROUTER", "MONITOR")
        env = {f"{name}_URL": NOBODY for name in names} | {"REGISTRY_URL": self.address, "CLICKHOUSE_URL": NOBODY}
        env |= {"MODELYARD_ADMIN_KEY_FILE": str(self.folder / "admin.key"), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
        data = ["--data-dir", str(self.folder / "cli")]
        return Process([*command, *options, *data], env).start(ready=False)

    @property
    def client(self) -> RegistryClient:
        return RegistryClient(self.proxy.target, KEY, timeout_s=60)

    def scanning(self) -> bool:
        """Whether the registry has a child process, which scans."""
        children = Path(f"/proc/{self.registry.pid}/task/{self.registry.pid}/children")
        return bool(children.read_text().split()) or bool(_children(self.registry.pid))


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("registration-kills")
    _write_model(folder / "rules")
    (folder / "admin.key").write_text(KEY)
    env = {
        "MODELYARD_ADMIN_KEY_FILE": str(folder / "admin.key"),
        "REGISTRY_DATA_DIR": str(folder / "data"),
        "REGISTRY_PORT": "0",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    registry = Process([sys.executable, "-m", "modelyard_registry"], env)
    proxy = Proxy()
    server = proxy.serve()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = Bench(folder, registry, proxy, f"http://127.0.0.1:{server.server_address[1]}")
    proxy.scanning = found.scanning
    found.start()
    yield found
    registry.kill()
    server.shutdown()
    server.server_close()


def _write_model(folder: Path) -> None:
    """Rules in Python, with weights that are large enough for an upload in pieces."""
    folder.mkdir()
    (folder / "predict.py").write_text(RULES)
    tensor = {"dtype": "U8", "shape": [WEIGHTS_BYTES], "data_offsets": [0, WEIGHTS_BYTES]}
    header = json.dumps({"w": tensor}).encode()
    (folder / "weights.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + os.urandom(WEIGHTS_BYTES))
    rows = [f"{amount},{'review' if amount > 900 else 'pass'}" for amount in range(5, 1_500, 50)]
    (folder / "sample.csv").write_text("\n".join(["amount,answer", *rows, ""]))


def _unload(bench: Bench) -> None:
    """Forget the stored files, so that each case uploads again: blobs are shared between models."""
    for blob in (bench.folder / "data" / "blobs" / "sha256").glob("*/*"):
        blob.unlink()


CASES = [(step, side) for step in STEPS for side in SIDES]


NAMES = [f"{side} {step.moment} {step.request}" for step, side in CASES]


@pytest.mark.parametrize(("number", "case"), list(enumerate(CASES)), ids=NAMES)
def test_a_kill_at_any_step_is_repaired_by_the_same_command(
    bench: Bench, number: int, case: tuple[Step, str], loopback: None
) -> None:
    step, side = case
    model = f"m{number}"
    _unload(bench)
    left = _parts(bench.folder)
    started = threading.Event()
    command: list[Process] = []

    def kill() -> None:
        started.wait(60)
        (bench.registry if side == "registry" else command[0]).kill()

    bench.proxy.killed.clear()
    bench.proxy.kill, bench.proxy.step = kill, step
    command.append(bench.register(model))
    started.set()
    wait_until(lambda: bench.proxy.killed.is_set() or not command[0].running, 120, what=f"{step} was reached")
    assert bench.proxy.killed.is_set(), "\n".join(command[0].lines)
    assert command[0].wait(120) != 0, "it did not notice that it failed"
    if side == "registry":
        bench.start()

    again = bench.register(model)
    assert again.wait(240) == 0, "\n".join(again.lines)

    with bench.client as client:
        [version] = client.versions(model)
        assert (version.version, version.stage) == (1, VersionStage.REGISTERED)
        files = {entry.digest for entry in client.manifest(model, 1).files}
    assert _events(bench.folder, model) == ["created", "version_registered"]
    assert _stored(bench.folder) == {digest.removeprefix("sha256:") for digest in files}, "a file without a version"
    if side == "command":
        wait_until(lambda: _parts(bench.folder) <= left, 60, what="the registry removed what the command had begun")


def test_two_commands_that_register_one_model_at_one_time_make_one_version(bench: Bench, loopback: None) -> None:
    _unload(bench)
    both = [bench.register("together") for _ in range(2)]
    for command in both:
        assert command.wait(240) == 0, "\n".join(command.lines)
    with bench.client as client:
        assert [one.version for one in client.versions("together")] == [1]
    assert _events(bench.folder, "together") == ["created", "version_registered"]


def test_what_kills_of_the_registry_left_behind_is_removed_by_a_later_start(bench: Bench, loopback: None) -> None:
    """At once would be wrong: another registry on the same folder may be writing it."""
    blobs = bench.folder / "data" / "blobs"
    for number in range(2):
        _unload(bench)
        bench.proxy.killed.clear()
        bench.proxy.kill, bench.proxy.step = bench.registry.kill, STEPS[(6, 9)[number]]
        command = bench.register(f"left{number}")
        assert command.wait(240) != 0
        bench.start()
    assert _parts(bench.folder), "nothing was left behind, so nothing is shown here"
    long_ago = time.time() - 30 * 86_400
    for path in [path for path in blobs.rglob("*") if "sha256" not in path.relative_to(blobs).parts]:
        os.utime(path, (long_ago, long_ago))
    bench.registry.kill()
    bench.start()
    assert _parts(bench.folder) == set()


def _events(folder: Path, model: str) -> list[str]:
    """Changes of a model whose events were queued for Kafka, from the registry's own database."""
    with contextlib.closing(sqlite3.connect(folder / "data" / "service.db", timeout=60)) as db:
        rows = db.execute("SELECT body FROM outbox WHERE topic = ? ORDER BY position", (ResourceChanged.TOPIC,))
        events = [decode(body, ResourceChanged) for (body,) in rows.fetchall()]
    return [event.change.value for event in events if event.model == model]


def _stored(folder: Path) -> set[str]:
    return {path.name for path in (folder / "data" / "blobs" / "sha256").glob("*/*")}


def _parts(folder: Path) -> set[str]:
    """Files of uploads that are not complete."""
    blobs = folder / "data" / "blobs"
    return {str(path) for path in blobs.rglob("*") if path.is_file() and "sha256" not in path.relative_to(blobs).parts}
