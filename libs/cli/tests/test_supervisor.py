"""The supervisor without its services: processes that die are started again, and a full disk ends nothing."""

import errno
import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from modelyard_cli.stack import child as child_module
from modelyard_cli.stack import supervisor
from modelyard_cli.stack.child import BACK_OFF_S, STEADY_S, Child
from modelyard_cli.stack.layout import PROCESSES, Addresses, Layout, ServiceSpec
from modelyard_cli.stack.state import end_orphans, find, identify, read_state, write_state
from modelyard_cli.stack.supervisor import Supervisor
from modelyard_devstack.providers import ProviderError
from modelyard_devstack.providers.clickhouse import Credentials
from modelyard_devstack.testing import stays, wait_until

NO_PROCESS = 2**22 + 1
"""Above any process id."""


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(child_module, "time", clock)
    return clock


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "stack")
    layout.prepare()
    return layout


@pytest.fixture
def child(layout: Layout, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Child:
    """A service that ends as soon as it is started: there is no such module."""
    monkeypatch.setattr(child_module, "is_ready", lambda url: False)
    reader = Credentials("reader", "none")
    ports = {spec.name: 1 for spec in PROCESSES} | {"nothing": 1}
    return Child(
        ServiceSpec("nothing", 1),
        layout,
        Addresses("127.0.0.1:1", False, "http://127.0.0.1:1", "ml", reader, reader, ports),
    )


def pauses(child: Child, clock: Clock, count: int, lives_s: float = 1.0) -> list[float]:
    """Seconds between each death and the next start."""
    found = []
    for _ in range(count):
        assert child.process is not None
        child.process.wait(60)
        clock.now_s += lives_s
        child.look()
        died = clock.now_s
        while child.process is None:
            clock.now_s += 0.1
            child.look()
        found.append(round(clock.now_s - died, 1))
    assert child.process is not None
    child.process.wait(60)
    return found


@pytest.mark.process
def test_a_service_that_keeps_dying_is_started_again_with_growing_pauses(child: Child, clock: Clock) -> None:
    child.start()
    assert pauses(child, clock, 4) == pytest.approx(BACK_OFF_S[:4], abs=0.11)
    assert child.restarts == 4
    assert pauses(child, clock, 1, lives_s=STEADY_S + 1) == pytest.approx([BACK_OFF_S[0]], abs=0.11), (
        "a long life makes up for it"
    )


@pytest.mark.process
def test_a_service_that_cannot_be_started_is_tried_again(
    child: Child, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start = child.start
    tries: list[float] = []

    def refusing() -> None:
        tries.append(clock.now_s)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        start()

    monkeypatch.setattr(child, "start", refusing)
    for _ in range(30):
        clock.now_s += 0.1
        child.look()
    assert child.process is not None
    child.process.wait(60)
    assert capsys.readouterr().err.count("No space left on device") == 2
    waited = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert waited == pytest.approx(BACK_OFF_S[:2], abs=0.11)


def server(pid: int | None = None) -> Any:
    """A broker and a ClickHouse in one, without a process of its own."""
    reader = Credentials("reader", "none")
    return SimpleNamespace(
        provider="test",
        pid=pid,
        stop=lambda: None,
        bootstrap="127.0.0.1:1",
        url="http://127.0.0.1:1",
        database="ml",
        writer=reader,
        reader=reader,
    )


@contextmanager
def supervising(layout: Layout) -> Iterator[None]:
    """A supervisor of the two servers alone, in a thread."""
    holder = Supervisor(layout, {"registry": 1, "kafka": 1, "clickhouse": 1})
    thread = Thread(target=holder.run)
    thread.start()
    try:
        yield
    finally:
        holder.stop()
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The servers of a supervisor without services, which checks them without a pause."""
    made = {"kafka": server(), "clickhouse": server()}
    monkeypatch.setattr(supervisor, "PROCESSES", ())
    monkeypatch.setattr(supervisor, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(supervisor, "SERVER_PAUSE_S", 0.0)
    monkeypatch.setattr(supervisor, "start_kafka", lambda *_: made["kafka"])
    monkeypatch.setattr(supervisor, "start_clickhouse", lambda *_: made["clickhouse"])
    return made


def reported(layout: Layout, key: str, value: object) -> bool:
    kafka = (read_state(layout) or {}).get("kafka") or {}
    return key in kafka and bool(kafka[key] == value)


def test_a_disk_that_takes_no_state_ends_no_stack_and_is_reported_once(
    layout: Layout,
    servers: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tries = []

    def full(*_: Any) -> None:
        tries.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    with supervising(layout):
        wait_until(lambda: reported(layout, "bootstrap", "127.0.0.1:1"))
        monkeypatch.setattr(supervisor, "write_state", full)
        servers["kafka"].bootstrap = "127.0.0.1:2"
        wait_until(lambda: tries)
        before = layout.state_file.read_text()
        wait_until(lambda: len(tries) >= 4)
        said = capsys.readouterr().err
        assert said.count(str(layout.state_file)) == 1 and "free disk space" in said
        assert layout.state_file.read_text() == before
        monkeypatch.setattr(supervisor, "write_state", write_state)
        wait_until(lambda: reported(layout, "bootstrap", "127.0.0.1:2"))
    assert capsys.readouterr().err == ""


def test_a_server_that_cannot_come_back_yet_is_tried_again(
    layout: Layout,
    servers: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers: list[Any] = [
        server(pid=NO_PROCESS),
        ProviderError("the local broker did not start: disk full"),
        server(),
    ]

    def start(*_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(supervisor, "start_kafka", start)
    with supervising(layout):
        wait_until(lambda: reported(layout, "pid", None))
        assert answers == []
        assert capsys.readouterr().err.count("disk full; trying again") == 1
        stays(lambda: reported(layout, "pid", None), 0.2, what="a server that runs is left alone")
    assert capsys.readouterr().err == ""


@pytest.mark.process
def test_what_a_killed_supervisor_left_is_ended_by_its_state_file(layout: Layout) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as left:
        identity = identify(left.pid)
        write_state(layout, {"processes": [identity]})
        assert end_orphans(layout) == 1
        assert find(identity) is None
    assert not layout.state_file.exists()
    assert end_orphans(layout) == 0
