"""The server as a process, with a real model: it starts, answers, drains, and refuses what was changed."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from modelyard_contracts.manifest import (
    ManifestFile,
    ModelManifest,
    TrainingLineage,
    digest_of,
    signed,
)
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_devstack.testing import Process, wait_until
from modelyard_serving.testing import write_echo_version

from .conftest import TOKEN, cat, num, write_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SCHEMA = Signature(
    columns=(Column(name="price"), Column(name="colour", type=ColumnType.CATEGORY), Column(name="demand")),
    output=Output(task=Task.BINARY, classes=("down", "up")),
)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sklearn.ensemble import HistGradientBoostingClassifier

    from modelyard_flavours import Encoding, FittedSklearn, environment, save_model

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    folder = tmp_path_factory.mktemp("model")
    random = np.random.default_rng(7)
    numeric = random.normal(size=(400, 2))
    colours = random.choice(np.array(["red", "blue"], dtype=object), size=(400, 1))
    encoding = Encoding.learn(numeric, colours, SCHEMA.classes)
    estimator = HistGradientBoostingClassifier(max_iter=20).fit(
        encoding.matrix(numeric, colours), (numeric[:, 0] > 0).astype(int)
    )
    files = save_model("sklearn", FittedSklearn(estimator, encoding), folder)
    manifest = ModelManifest(
        model="elec",
        flavour="sklearn",
        files=files,
        **signed(SCHEMA),
        training=TrainingLineage(recipe="test"),
        environment=environment("sklearn"),
    )
    (folder / "manifest.json").write_bytes(ManifestFile.write(manifest).data)
    return folder


def server(folder: Path, *options: str, token: str = TOKEN) -> Process:
    command = [sys.executable, "-m", "modelyard_serving", "--model-dir", str(folder), "--model-version", "3", *options]
    return Process(command, {"MODELYARD_SERVING_TOKEN": token})


def ask(address: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(address, timeout=30)
    headers = {"authorization": f"Bearer {TOKEN}"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_a_real_model_answers_and_drains_on_sigterm(model_dir: Path, loopback: None) -> None:
    process = server(model_dir, "--drain-s", "4").start()
    address = str(process.address)
    rows = {"inputs": [num([2.0, 0.0], [-2.0, None]), cat("red", None)]}
    status, body = ask(address, "POST", "/v2/models/elec/versions/3/infer", rows)
    assert (status, body["outputs"][0]["data"]) == (200, ["up", "down"]), body
    assert body["parameters"]["digest"] == digest_of((model_dir / "manifest.json").read_bytes())

    statuses: list[int] = []

    def keep_calling() -> None:
        try:
            while True:
                statuses.append(ask(address, "POST", "/v2/models/elec/infer", rows)[0])
        except OSError:
            return  # the server ended

    callers = [threading.Thread(target=keep_calling) for _ in range(4)]
    for caller in callers:
        caller.start()
    wait_until(lambda: len(statuses) > 10)
    rss_mib = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    process.signal(signal.SIGTERM)
    wait_until(lambda: ask(address, "GET", "/v2/health/ready")[0] == 503)
    assert ask(address, "POST", "/v2/models/elec/infer", rows)[0] == 200
    assert process.wait() == 0, process.output
    for caller in callers:
        caller.join()
    assert set(statuses) == {200}
    assert rss_mib < 300
    print(f"RSS {rss_mib:.0f} MiB")


def test_a_caller_without_a_key_cannot_hold_or_fill_the_server(model_dir: Path, loopback: None) -> None:
    process = server(model_dir, "--drain-s", "0").start()
    host, _, port = str(process.address).rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection, suppress(ConnectionError):
        connection.sendall(b"GET /v2 HTTP/1.1\r\nhost: x\r\n")
        for _ in range(2_000):  # ends long before, and before the 15 s that a head may take
            connection.sendall(b"x-filler: " + b"x" * 1_000 + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 431 ")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        body = json.dumps({"inputs": [num([2.0, 0.0]), cat("red")]}).encode()
        head = f"POST /v2/models/elec/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
        upgrade = f"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall((head + upgrade).encode() + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    process.stop()


def test_a_streaming_version_sends_words_as_they_are_made(tmp_path: Path, loopback: None) -> None:
    file = write_echo_version(tmp_path, stall_after=4, stall_s=600.0)
    process = server(tmp_path, "--digest", file.digest, "--drain-s", "0").start()
    headers = {"authorization": f"Bearer {TOKEN}"}
    connection = http.client.HTTPConnection(str(process.address), timeout=30)
    body = json.dumps({"text_input": "to be or not"})
    connection.request("POST", "/v2/models/echo/generate_stream", body, headers)
    answer = connection.getresponse()
    assert answer.getheader("content-type") == "text/event-stream"
    assert answer.getheader("x-modelyard-digest") == file.digest
    events = [json.loads(line[6:]) for line in iter(answer.readline, b"") if line.startswith(b"data: ")]
    assert [event["text_output"] for event in events] == ["to ", "be ", "or ", "not ", ""]
    assert events[-1]["usage"] == {"input_tokens": 4, "output_tokens": 4}
    connection.request("POST", "/v2/models/echo/generate_stream", json.dumps({"text_input": "a b c d stalls"}), headers)
    first = connection.getresponse().readline()
    assert json.loads(first.removeprefix(b"data: "))["text_output"] == "a "  # though the last word takes ten minutes
    connection.close()
    process.signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_version_that_cannot_be_served_ends_with_one_line_and_code_2(
    model_dir: Path, tmp_path: Path, loopback: None
) -> None:
    def outcome(process: Process) -> tuple[int, str]:
        process.start(ready=False)
        return process.wait(60), process.output

    for name in ("manifest.json", "model.skops", "encoding.json"):
        (tmp_path / name).write_bytes((model_dir / name).read_bytes())
    (tmp_path / "encoding.json").write_bytes(b"{}")
    code, output = outcome(server(tmp_path))
    assert code == 2 and "encoding.json" in output and "Traceback" not in output
    code, output = outcome(server(model_dir, token=""))
    assert code == 2 and "SERVING_TOKEN_FILE" in output
    running = server(model_dir).start()
    code, output = outcome(server(model_dir, "--port", str(running.address).rpartition(":")[2]))
    running.stop()
    assert code == 2 and "--port" in output and "Traceback" not in output


HUNGRY: Final = """
import resource, sys
from pathlib import Path
import numpy as np
from modelyard_serving.errors import Unloadable
from modelyard_serving.loading import load

limit = 400 << 20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

class Hungry:
    def predict(self, numeric, categorical):
        return np.ones(3 << 27)

def hungry(manifest, folder):
    return np.ones(3 << 27) if sys.argv[2] == "load" else Hungry()

try:
    load(Path(sys.argv[1]), "1", hungry)
except Unloadable as error:
    print(error)
"""
"""A model that needs 3 GiB, when it is loaded or at its first prediction, in a process that may use 400 MiB."""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit exists on Linux only")
@pytest.mark.parametrize("when", ["load", "predict"])
def test_a_model_that_needs_more_memory_than_its_limit_is_refused_in_one_sentence(tmp_path: Path, when: str) -> None:
    write_model(tmp_path)
    command = [sys.executable, "-c", HUNGRY, str(tmp_path), when]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == (
        "the model needs more memory than its limit of 400 MiB; serve a smaller model, "
        "or raise DEPLOYER_REPLICA_MEMORY_MIB\n"
    )
