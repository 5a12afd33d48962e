"""`pytest --fast` runs the inner loop: tests that start no process, use no server and need little CPU.

Deselected are tests marked `process`, `slow`, `server` or `bench`, and tests that request the `loopback` fixture. With
`--fast`, a test that starts a process or needs more than CPU_LIMIT_S fails: mark it `process` or `slow`.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

CPU_LIMIT_S: Final = 5.0
"""CPU time of one test in its own process. Wall time would fail on a busy machine."""
MARKS: Final = ("process", "slow", "server", "bench")
FORKS: Final = ("os.fork", "os.forkpty", "os.posix_spawn")
CORE_COUNTERS: Final = ("lscpu", "sysctl")
"""Started by joblib once per process to count cores."""

_started: list[str] = []
"""Processes started since the current test began."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="only tests without processes and servers; slow ones fail")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "process: starts a process; left out by --fast")
    if config.getoption("--fast"):
        sys.addaudithook(_record_process)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--fast"):
        return
    slow = [item for item in items if _is_slow(item)]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not _is_slow(item)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    _started.clear()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    begin = time.process_time()
    result = yield
    if item.config.getoption("--fast"):
        _check(time.process_time() - begin)
    return result


def _check(cpu_s: float) -> None:
    if _started:
        pytest.fail(f"started {_started[0]} without the mark `process`", pytrace=False)
    if cpu_s > CPU_LIMIT_S:
        pytest.fail(f"needed {cpu_s:.1f} s of CPU without the mark `slow` (limit {CPU_LIMIT_S} s)", pytrace=False)


def _is_slow(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return "loopback" in fixtures or any(item.get_closest_marker(mark) for mark in MARKS)


def _record_process(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook; it cannot be removed, so it is only added for --fast."""
    if event in FORKS:
        _started.append(event)
    elif event == "subprocess.Popen" and Path(str(arguments[0])).name not in CORE_COUNTERS:
        _started.append(str(arguments[0]))
