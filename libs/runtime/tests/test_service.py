"""A service process: ready, port in use, orderly stop, crashed tasks, memory."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from modelyard_devstack.testing import Process, wait_until
from modelyard_runtime.service import _server

pytestmark = pytest.mark.usefixtures("loopback")
SCRIPT = Path(__file__).parent / "scripts" / "toyservice.py"
KEY = "0123456789abcdef0123456789abcdef"
Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    (tmp_path / "key").write_text(KEY)
    started = []

    def begin(*, ready: bool = True, **env: str) -> Process:
        base = {"MODELYARD_ADMIN_KEY_FILE": str(tmp_path / "key"), "TOY_PORT": "0", "TOY_DATA_DIR": str(tmp_path)}
        process = Process([sys.executable, str(SCRIPT)], {**base, **env})
        started.append(process)
        return process.start(ready=ready)

    yield begin
    for process in started:
        process.kill()


def ask(process: Process, path: str, key: str | None = KEY) -> tuple[int, Any]:
    assert process.address is not None
    connection = http.client.HTTPConnection(process.address.removeprefix("http://"), timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def life(process: Process) -> list[str]:
    return [line.removeprefix("LIFE ") for line in process.lines if line.startswith("LIFE")]


def test_a_service_says_where_it_is_ready_and_is_light(start: Start) -> None:
    process = start(TOY_FULL="1")
    assert ask(process, "/health/ready", key=None) == (200, {"ready": True, "checks": {}})
    assert ask(process, "/slow", key=None)[0] == 401
    assert psutil.Process(process.pid).memory_info().rss < 110 * 1_048_576


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_refuses_new_connections_finishes_requests_then_tasks_then_closes(
    start: Start, tmp_path: Path, number: int
) -> None:
    process = start()
    answers: list[Any] = []
    request = threading.Thread(target=lambda: answers.append(ask(process, "/slow")))
    request.start()
    wait_until(lambda: "request began" in life(process))
    process.signal(number)

    def refused() -> bool:
        try:
            ask(process, "/health/ready", key=None)
        except OSError:
            return True
        return False

    wait_until(refused)
    (tmp_path / "go").touch()
    assert process.wait() == 0
    request.join(30)
    assert answers == [(200, "done")]
    assert life(process) == ["started", "task began", "request began", "request ended", "task ended", "closed"]


def test_a_port_in_use_is_one_line_and_nothing_was_started(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(ready=False, TOY_PORT=str(port))
        assert process.wait() == 2
    [line] = process.lines
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in line
    assert "TOY_PORT" in line


def test_an_idle_connection_is_closed_by_its_caller_first() -> None:
    """Else a request that is sent at that moment is lost: a POST is not sent again by itself."""
    config = _server(None, 1.0, None).config
    assert config.timeout_keep_alive > 2 * (httpx.Limits().keepalive_expiry or 0)
    assert config.timeout_keep_alive > 15 + 5, "aiohttp's, and room for a slow caller"


def test_a_crashed_task_is_reported_and_started_again(start: Start) -> None:
    process = start(TOY_CRASH="1")
    wait_until(lambda: "task began" in life(process))
    assert "RuntimeError: a bug" in process.output
    wait_until(lambda: ask(process, "/health/ready", key=None)[0] == 200)
    assert process.stop() == 0


def test_a_task_that_crashes_again_and_again_ends_the_process_and_is_named(start: Start) -> None:
    process = start(ready=False, TOY_CRASH="1000")
    assert process.wait() == 1
    assert any(
        line.startswith("toy: background task main.<locals>.work, 8 times in a row, ended: RuntimeError: a bug")
        for line in process.lines
    ), process.output
    assert "closed" in life(process), "an orderly stop all the same"


@pytest.mark.parametrize(
    ("bug", "line"),
    [
        ("raises", "toy: the HTTP server ended: RuntimeError: a bug in the server"),
        ("returns", "toy: the HTTP server ended: it returned"),
    ],
)
def test_a_server_that_ends_by_itself_is_a_failure_and_not_a_stop(start: Start, bug: str, line: str) -> None:
    process = start(ready=False, TOY_SERVER_BUG=bug)
    assert process.wait() == 1
    assert line in process.lines, process.output
    assert {"task ended", "closed"} <= set(life(process)), "an orderly stop all the same"


def test_bad_settings_are_one_line(start: Start) -> None:
    process = start(ready=False, TOY_PORT="x")
    assert process.wait() == 2
    assert len(process.lines) == 1


@pytest.mark.parametrize(
    "module", ["settings", "access", "kafka", "health", "log", "metrics", "service", "clock", "tracing"]
)
def test_what_the_router_needs_brings_neither_fastapi_nor_sqlalchemy(module: str) -> None:
    code = (
        f"import sys, modelyard_runtime.{module}; "
        "print([m for m in ('fastapi','sqlalchemy','starlette','alembic','httpx','opentelemetry.sdk','pandas','numpy') "
        "if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
