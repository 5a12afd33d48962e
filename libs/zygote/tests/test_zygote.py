"""Processes forked from a preloaded parent: as `python -m` would start them, whoever dies around them."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard_devstack.testing import Process, wait_until
from modelyard_zygote import UNKNOWN_CODE, Handle, Zygote, client
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


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid), 30)


# -- what a child is ---------------------------------------------------------------------------------------------------


def test_a_child_is_what_python_m_would_start(world: World, zygote: Zygote, tmp_path: Path) -> None:
    env = {"PATH": "/bin", "PYTHONPATH": str(SCRIPTS), "ONLY": "this"}
    child = world.spawn(zygote, "tells", "a", "--b", env=env, cwd=tmp_path)
    assert child.wait(60) == 0, world.err()
    said = json.loads(world.out())
    assert said["argv"] == [str(SCRIPTS / "tells.py"), "a", "--b"]
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
    assert world.spawn(zygote, "tells", env=world.environment(**large)).wait(60) == 0
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


# -- whoever dies ------------------------------------------------------------------------------------------------------


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
        time.sleep(0.2)
        assert alive(pids["child"])
    finally:
        os.kill(pids["child"], signal.SIGKILL)


@linux
@pytest.mark.parametrize("written", [b"", b'{"module": "says", "argv": ["half'], ids=["nothing", "half a request"])
def test_a_child_whose_owner_died_before_it_knew_of_it_ends_without_a_word(world: World, written: bytes) -> None:
    """The owner is killed between the fork and its last word to the child."""
    zygote = world.zygote()
    world.spawn(zygote, "says", "one").wait(60)
    connection: Any = zygote._connection
    theirs, ours = os.pipe()
    with (world.folder / "out").open("ab") as out:
        pid, pidfd = connection._ask(b"spawn", (theirs, out.fileno(), out.fileno()))
    os.close(theirs)
    os.write(ours, written)
    os.close(ours)
    assert ForkedProcess(pid, pidfd, connection.code_of).wait(60) == 0
    assert world.out() == "one\n"


@linux
def test_a_zygote_killed_in_the_middle_of_a_request_starts_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    zygote = world.zygote()
    world.spawn(zygote, "says", "one").wait(60)
    connection: Any = zygote._connection
    real: Callable[..., Any] = connection._listen

    def dying(*, block: bool) -> Any:
        """It forks and says so, but is dead before that is read."""
        if block:
            told = real(block=True)
            os.close(told[1][0])
            kill(connection.pid)
        return real(block=block)

    monkeypatch.setattr(connection, "_listen", dying)
    assert world.spawn(zygote, "says", "two").wait(60) == 0
    assert world.out() == "one\ntwo\n"
    assert zygote._connection is not connection


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
    zygote = world.zygote("dies")
    for _ in range(2):
        assert world.spawn(zygote, "ends", "6").wait(60) == 6
    assert caplog.text.count("processes start slowly") == 1
    monkeypatch.setattr(client, "RETRY_S", 0.0)
    zygote._not_before = 0.0
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
    starting: Any = wait_until(lambda: zygote._starting, 60)
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
