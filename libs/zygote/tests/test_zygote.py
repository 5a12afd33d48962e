"""Processes forked from a preloaded parent: as `python -m` would start them, also when owner or parent die."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from modelyard_devstack.testing import Process, stays, wait_until
from modelyard_zygote import UNKNOWN_CODE, Handle, Zygote, client, wire
from modelyard_zygote.handles import ForkedProcess

pytestmark = pytest.mark.process

SCRIPTS = Path(__file__).parent / "scripts"
linux = pytest.mark.skipif(sys.platform != "linux", reason="forks after imports are safe on Linux only")


class World:
    """Starts modules of tests/scripts, and ends whatever is left of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started, self.zygotes = folder, list[Handle](), list[Zygote]()

    def zygote(self, *preload: str, idle_s: float = 60.0, **more: Any) -> Zygote:
        self.zygotes.append(Zygote(preload, idle_s=idle_s, **{"env": self.environment(), **more}))
        return self.zygotes[-1]

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(SCRIPTS), **more}

    def spawn(self, zygote: Zygote, module: str, *argv: str, **more: Any) -> Handle:
        given = {"env": self.environment(), **more}
        with (self.folder / "out").open("ab") as out, (self.folder / "err").open("ab") as err:
            handle = zygote.spawn(module, argv, stdout=out, stderr=err, **given)
        self.started.append(handle)
        return handle

    def out(self) -> str:
        return (self.folder / "out").read_text()

    def err(self) -> str:
        return (self.folder / "err").read_text()

    def close(self) -> None:
        for handle in self.started:
            handle.kill()
        for zygote in self.zygotes:
            zygote.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture(params=[pytest.param(60.0, marks=linux, id="forked"), pytest.param(0.0, id="plain")])
def zygote(world: World, request: pytest.FixtureRequest) -> Zygote:
    """Both ways of starting must look the same to those who use them."""
    return world.zygote("decimal", idle_s=request.param)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def parents() -> list[psutil.Process]:
    """Zygotes that this process started and that run its module."""
    return [child for child in psutil.Process().children() if "modelyard_zygote" in command_of(child)]


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 30)


# -- what a child is ---------------------------------------------------------------------------------------------------


def test_a_child_is_what_python_m_would_start(world: World, zygote: Zygote, tmp_path: Path) -> None:
    env = {"PATH": "/bin", "PYTHONPATH": str(SCRIPTS), "ONLY": "this"}
    child = world.spawn(zygote, "describes", "a", "--b", env=env, cwd=tmp_path)
    assert child.wait(60) == 0, world.err()
    said = json.loads(world.out())
    assert said["argv"] == [str(SCRIPTS / "describes.py"), "a", "--b"]
    assert said["env"] == env
    assert said["cwd"] == str(tmp_path.resolve())
    assert said["name"] == "__main__"
    assert said["pid"] == said["session"] == said["group"] == child.pid
    assert said["stdin"] == ""
    assert said["signals"] == {"SIGCHLD": "SIG_DFL", "SIGTERM": "SIG_DFL", "SIGPIPE": "SIG_IGN"}
    assert said["collects"] is True
    assert said["fds"] == []


@pytest.mark.parametrize(("how", "code"), [("0", 0), ("7", 7), ("raise", 1), ("kill", -9), ("text", 1)])
def test_how_a_child_ended_is_known(world: World, zygote: Zygote, how: str, code: int) -> None:
    child = world.spawn(zygote, "ends", how)
    assert child.wait(60) == code
    assert child.poll() == code
    assert ("ValueError: on purpose" in world.err()) == (how == "raise")
    assert ("a last word" in world.err()) == (how == "text")


def test_a_child_runs_until_it_is_killed(world: World, zygote: Zygote) -> None:
    child = world.spawn(zygote, "sleeps")
    wait_until(lambda: "ready" in world.out(), 60)
    assert child.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.05)
    child.kill()
    assert child.wait(60) == -signal.SIGKILL
    child.kill()


def test_output_is_appended_to_what_the_files_held(world: World, zygote: Zygote) -> None:
    (world.folder / "out").write_text("before\n")
    assert world.spawn(zygote, "says", "it").wait(60) == 0
    assert world.out() == "before\nit\n"


def test_what_a_child_leaves_to_the_end_is_done(world: World, zygote: Zygote) -> None:
    """Threads are joined, exit handlers run, buffers written: as at the end of every Python process."""
    assert world.spawn(zygote, "lingers").wait(60) == 0
    assert world.out().split() == ["thread", "handler"]


def test_a_large_request_arrives_whole(world: World, zygote: Zygote) -> None:
    large = {str(number): "x" * 1_000 for number in range(300)}
    assert world.spawn(zygote, "describes", env=world.environment(**large)).wait(60) == 0
    assert large.items() <= json.loads(world.out())["env"].items()


def test_many_threads_may_start_children_at_once(world: World, zygote: Zygote) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        children = list(pool.map(lambda n: world.spawn(zygote, "ends", str(n)), range(8)))
        assert list(pool.map(lambda child: child.wait(90), children)) == list(range(8))


# -- forked ------------------------------------------------------------------------------------------------------------


@linux
def test_a_forked_child_finds_the_modules_imported_and_random_numbers_its_own(world: World) -> None:
    pytest.importorskip("numpy")
    zygote = world.zygote("numpy.random", "heavy")
    for _ in range(2):
        assert world.spawn(zygote, "draws").wait(60) == 0, world.err()
    first, second = (json.loads(line) for line in world.out().splitlines())
    assert first["heavy"] and second["heavy"]
    assert first["parent"] == second["parent"] == zygote.pid
    assert first["python"] != second["python"]
    assert first["numpy"] != second["numpy"]


@linux
def test_a_child_starts_with_no_processor_time_on_its_account(world: World) -> None:
    zygote = world.zygote("heavy")
    assert world.spawn(zygote, "costs").wait(60) == 0
    assert float(world.out()) < 0.5  # `heavy` alone takes 0.6 s


@linux
def test_what_one_child_was_given_is_nowhere_in_the_next(world: World) -> None:
    """The request does not pass through the zygote, so its memory holds no other child's keys."""
    zygote = world.zygote()
    secret = "k" * 8 + "-very-secret-" + "z" * 8
    for env in (world.environment(KEY=secret), world.environment()):
        assert world.spawn(zygote, "searches", "very-" + "secret", env=env).wait(60) == 0, world.err()
    assert world.out().split() == ["found", "nothing"]


@linux
def test_a_module_that_is_missing_is_named_and_the_rest_works(world: World, caplog: pytest.LogCaptureFixture) -> None:
    zygote = world.zygote("no_such_module", "heavy")
    child = world.spawn(zygote, "says", "it")
    assert isinstance(child, ForkedProcess)
    assert child.wait(60) == 0
    assert "no_such_module could not be imported in advance: ModuleNotFoundError" in caplog.text


@linux
def test_nothing_is_started_before_it_is_needed_and_warming_starts_it(world: World) -> None:
    zygote = world.zygote()
    assert zygote.pid is None
    zygote.warm()
    pid = wait_until(lambda: zygote.pid, 60)
    assert world.spawn(zygote, "says", "it").wait(60) == 0
    assert zygote.pid == pid


@linux
def test_an_idle_zygote_ends_and_the_next_request_starts_another(world: World) -> None:
    zygote = world.zygote(idle_s=0.3)
    detached = world.spawn(zygote, "sleeps", detached=True)
    first = zygote.pid
    wait_until(lambda: zygote.pid is None, 60)
    assert detached.poll() is None
    again = world.spawn(zygote, "ends", "3")
    assert again.wait(60) == 3
    assert first is not None and not alive(first)
    detached.kill()
    assert detached.wait(60) == UNKNOWN_CODE


@linux
def test_a_zygote_stays_for_a_child_that_is_waited_for(world: World) -> None:
    zygote = world.zygote(idle_s=0.2)
    child = world.spawn(zygote, "sleeps", "1")
    assert child.wait(60) == 0
    wait_until(lambda: zygote.pid is None, 60)


# -- processes that die ------------------------------------------------------------------------------------------------


@linux
def test_children_outlive_a_killed_zygote_and_the_next_one_serves(world: World) -> None:
    zygote = world.zygote()
    child = world.spawn(zygote, "sleeps")
    kill(zygote.pid)
    assert child.poll() is None
    assert world.spawn(zygote, "ends", "4").wait(60) == 4
    child.kill()
    assert child.wait(60) == UNKNOWN_CODE


@linux
def test_children_outlive_their_owner_and_its_zygote_does_not(world: World, tmp_path: Path) -> None:
    owner = Process([sys.executable, str(SCRIPTS / "owns.py"), str(tmp_path)], world.environment()).start()
    pids = json.loads((tmp_path / "pids").read_text())
    try:
        os.kill(owner.pid, signal.SIGKILL)
        owner.kill()
        wait_until(lambda: not alive(pids["zygote"]), 30)
        stays(lambda: alive(pids["child"]), 0.3)
    finally:
        os.kill(pids["child"], signal.SIGKILL)


@linux
@pytest.mark.parametrize("written", [b"", b'{"module": "says", "argv": ["half'], ids=["nothing", "half a request"])
def test_a_child_whose_owner_died_before_it_knew_of_it_ends_without_output(world: World, written: bytes) -> None:
    """The owner is killed between the fork and the request to the child; this test is the owner."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(60)
    command = [sys.executable, "-m", "modelyard_zygote", "--idle-s", "60", "--owner-fd", str(theirs.fileno())]
    request, request_end = os.pipe()
    with ours, subprocess.Popen(command, pass_fds=[theirs.fileno()], env=world.environment()):
        theirs.close()
        assert json.loads(wire.receive(ours)[0]) == {"ready": {}}
        with (world.folder / "out").open("ab") as out:
            socket.send_fds(ours, [wire.SPAWN], [request, out.fileno(), out.fileno()])
        os.close(request)
        started, [pidfd] = wire.receive(ours)
        os.write(request_end, written)
        os.close(request_end)
        assert json.loads(wire.receive(ours)[0]) == {"ended": json.loads(started)["started"], "code": 0}
        os.close(pidfd)
        ours.close()  # ends the parent
    assert world.out() == ""


@linux
def test_a_zygote_killed_in_the_middle_of_a_request_starts_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    zygote = world.zygote()
    world.spawn(zygote, "says", "one").wait(60)
    first, real = zygote.pid, wire.receive
    killed: list[int | None] = []

    def dying(of: socket.socket) -> tuple[bytes, list[int]]:
        """It forks and says so, but is dead before that is read."""
        body, fds = real(of)
        if killed or b"started" not in body:
            return body, fds
        os.close(fds[0])
        kill(first)
        killed.append(first)
        return real(of)

    monkeypatch.setattr(wire, "receive", dying)
    assert world.spawn(zygote, "says", "two").wait(60) == 0
    assert world.out() == "one\ntwo\n"
    assert killed == [first]
    assert zygote.pid not in (None, first)


@linux
def test_numeric_libraries_start_no_threads_in_the_zygote_whatever_it_was_given(world: World) -> None:
    pytest.importorskip("numpy")
    zygote = world.zygote("numpy", env=world.environment(OMP_NUM_THREADS="4", OPENBLAS_NUM_THREADS="4"))
    child = world.spawn(zygote, "says", "it")
    assert isinstance(child, ForkedProcess)
    assert child.wait(60) == 0


# -- when there is none ------------------------------------------------------------------------------------------------


@linux
def test_a_zygote_with_threads_must_not_fork(world: World, caplog: pytest.LogCaptureFixture) -> None:
    zygote = world.zygote("threads")
    child = world.spawn(zygote, "ends", "5")
    assert isinstance(child, subprocess.Popen)
    assert child.wait(60) == 5
    assert "started 1 threads" in caplog.text


@linux
def test_without_a_zygote_processes_start_plainly_and_it_is_not_tried_each_time(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    now_s = [1_000.0]
    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: now_s[0]))
    zygote = world.zygote("dies")
    for _ in range(2):
        assert world.spawn(zygote, "ends", "6").wait(60) == 6
    assert caplog.text.count("processes start slowly") == 1
    now_s[0] += client.RETRY_S
    world.spawn(zygote, "ends", "6").wait(60)
    assert caplog.text.count("processes start slowly") == 2


@linux
def test_a_zygote_that_does_not_come_up_in_time_is_ended(world: World, caplog: pytest.LogCaptureFixture) -> None:
    zygote = world.zygote("sleeps", start_timeout_s=0.5)
    assert world.spawn(zygote, "ends", "6").wait(60) == 6
    assert "processes start slowly" in caplog.text


def test_other_systems_start_plain_processes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    child = world.spawn(world.zygote(), "ends", "0")
    assert isinstance(child, subprocess.Popen)
    assert child.wait(60) == 0


@linux
def test_closing_does_not_wait_for_a_zygote_that_still_imports(world: World, caplog: pytest.LogCaptureFixture) -> None:
    zygote = world.zygote("sleeps")
    zygote.warm()
    [starting] = wait_until(parents, 60)
    began = time.monotonic()
    zygote.close()
    assert time.monotonic() - began < 30  # `sleeps` takes 60
    assert not alive(starting.pid)
    assert zygote.pid is None
    assert caplog.text == ""


def test_a_closed_zygote_starts_no_other(world: World) -> None:
    zygote = world.zygote()
    zygote.close()
    zygote.close()
    assert isinstance(world.spawn(zygote, "ends", "0"), subprocess.Popen)
    assert zygote.pid is None
