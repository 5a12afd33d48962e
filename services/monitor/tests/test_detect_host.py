"""A worker that dies is replaced at once, and keeps its identity in the group; nothing outlives the service."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from modelyard_devstack.testing.processes import Process, eventually
from modelyard_monitor.detect.instance import take_instance

HOST = """
import os, signal, threading
from modelyard_monitor.detect.host import keep_running

def work():
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    print(f"worker {os.getpid()} of {os.getppid()}", flush=True)
    done.wait()
    return 0

raise SystemExit(keep_running(work))
"""


@pytest.mark.slow
async def test_a_killed_worker_is_replaced_and_sigterm_ends_both() -> None:
    host = Process([sys.executable, "-c", HOST], {}).start(ready=False)
    try:
        for number in range(1, 4):
            await eventually(lambda: len(workers(host)) == number, 60, what="a worker")  # noqa: B023
            if number < 3:
                os.kill(workers(host)[-1], signal.SIGKILL)
        assert host.output.count("ended with code -9") == 2
        assert len(set(workers(host))) == 3
    finally:
        code = host.stop()
    assert code == 0, host.output
    assert not alive(workers(host)[-1])


@pytest.mark.slow
async def test_the_worker_of_a_killed_host_ends_with_it() -> None:
    host = Process([sys.executable, "-c", HOST], {}).start(ready=False)
    await eventually(lambda: workers(host), 60, what="a worker")
    [worker] = workers(host)
    os.kill(host.pid, signal.SIGKILL)
    await eventually(lambda: not alive(worker), 30, what="the end of the worker")


def workers(host: Process) -> list[int]:
    return [int(pid) for pid in re.findall(r"worker (\d+) of", host.output)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_identity_is_kept_for_the_next_process_and_never_shared(tmp_path: Path) -> None:
    first = take_instance(tmp_path)
    assert first is not None
    assert take_instance(tmp_path, wait_s=0.1) is None
    first.release()
    second = take_instance(tmp_path, wait_s=0.1)
    assert second is not None
    assert (second.id, second.id.startswith("detect-")) == (first.id, True)
    second.release()


def test_another_folder_has_another_identity(tmp_path: Path) -> None:
    ids = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        found = take_instance(tmp_path / name)
        assert found is not None
        ids.add(found.id)
        found.release()
    assert len(ids) == 2
