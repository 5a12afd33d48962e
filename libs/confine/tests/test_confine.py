"""A confined process keeps what it was given, and nothing else; each refusal is compared with an open process."""

import json
import platform
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from modelyard_confine import Walls, allowed_environment, landlock_version

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock"),
]
PROGRAM = """
import json, os, sys
from pathlib import Path
from modelyard_confine import Amounts, Confinement, confine
folder, mode, options = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
listening = __import__("socket").create_server(("127.0.0.1", 0))
if mode == "confined":
    amounts = Amounts(**options.pop("amounts", {}))
    walls = confine(Confinement(scratch=folder / "scratch", readable=(folder / "given",), amounts=amounts, **options))
    assert walls.complete, walls.described
answers = {}
for name, code in json.loads(sys.stdin.read()).items():
    try:
        exec(code)
        answers[name] = "done"
    except BaseException as error:
        answers[name] = type(error).__name__
print(json.dumps(answers))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("scratch", "given", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file.txt").write_text("text")
    return tmp_path


def run(folder: Path, attempts: dict[str, str], mode: str = "confined", **options: Any) -> dict[str, str]:
    """What became of each attempt: `done`, or the name of its error."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), mode, json.dumps(options)],
        input=json.dumps({name: textwrap.dedent(code) for name, code in attempts.items()}),
        capture_output=True,
        text=True,
        cwd=folder,
        env=allowed_environment() | {"SOME_SECRET": "x"},
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    answers: dict[str, str] = json.loads(done.stdout)
    return answers


REFUSED = {
    "a new socket": "import socket; socket.socket()",
    "a child": "pid = os.fork() or os._exit(0); os.waitpid(pid, 0)",
    "a program": "import subprocess; subprocess.run(['/bin/true'], check=True)",
    "a spawned program": "os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    "a folder beside": "(folder / 'other' / 'file.txt').read_text()",
    "a list of the folder above": "list(folder.iterdir())",
    "a file that may be read": "(folder / 'given' / 'file.txt').write_text('changed')",
    "accounts": "Path('/etc/passwd').read_text()",
    "the environment of its start": "Path('/proc/self/environ').read_text()",
    "the environment": "os.environ['SOME_SECRET']",
    "a signal": "os.kill(os.getppid(), 0)",
    "a higher limit": "import resource as r; r.setrlimit(r.RLIMIT_CORE, (1 << 20, 1 << 20))",
}


def test_attempts_that_succeed_in_an_open_process_are_refused_in_a_confined_one(folder: Path) -> None:
    assert set(run(folder, REFUSED, "open").values()) == {"done"}
    confined = run(folder, REFUSED)
    assert set(confined.values()) <= {"PermissionError", "KeyError", "ValueError"}, confined


def test_what_it_was_given_still_works(folder: Path) -> None:
    kept = {
        "its files": "assert (folder / 'given' / 'file.txt').read_text() == 'text'",
        "the scratch folder": "(folder / 'scratch' / 'new.txt').write_text('x')",
        "temporary files": "import tempfile; tempfile.TemporaryFile().write(b'x')",
        "threads": "import threading; t = threading.Thread(target=int); t.start(); t.join()",
        "a module that was not imported yet": "import sqlite3, decimal, zoneinfo; zoneinfo.ZoneInfo('Europe/Berlin')",
        "the socket that listens": "listening.settimeout(0.01)\ntry: listening.accept()\nexcept TimeoutError: pass",
        "its limits": "import resource; assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)",
        "a pair of sockets for its own loop": "import asyncio; asyncio.run(asyncio.sleep(0))",
    }
    assert set(run(folder, kept).values()) == {"done"}


def test_a_thread_that_starts_later_is_confined_as_well(folder: Path) -> None:
    attempt = """
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(1) as pool:
        pool.submit((folder / 'other' / 'file.txt').read_text).result()
    """
    assert run(folder, {"read": attempt}) == {"read": "PermissionError"}


def test_with_the_network_connections_are_open_and_processes_are_not(folder: Path, loopback: None) -> None:
    attempts = {
        "connect": "import socket; socket.create_connection(listening.getsockname()).close()",
        "fork": "os.fork()",
    }
    assert run(folder, attempts, network=True) == {"connect": "done", "fork": "PermissionError"}


def test_amounts_are_limited(folder: Path) -> None:
    attempts = {
        "memory": "bytes(600 << 20)",
        "file": "(folder / 'scratch' / 'large').write_bytes(bytes(3 << 20))",
        "small": "(folder / 'scratch' / 'small').write_bytes(bytes(1 << 20))",
    }
    answers = run(folder, attempts, amounts={"memory_mib": 500, "file_mib": 2})
    assert answers == {"memory": "MemoryError", "file": "OSError", "small": "done"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other system call table is of x86_64")
def test_the_32_bit_table_of_system_calls_is_refused(folder: Path) -> None:
    """x32 numbers name the same calls a second time; a filter that does not know them is no filter."""
    attempt = "import ctypes\nassert ctypes.CDLL(None).syscall(0x40000000 | 41, 2, 1, 0) >= 0"
    assert run(folder, {"x32 socket": attempt}) == {"x32 socket": "AssertionError"}


def test_it_refuses_to_confine_a_process_with_threads(folder: Path) -> None:
    program = """
    import threading
    from modelyard_confine import Confinement, confine
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    confine(Confinement())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert "NotRestricted: 2 threads run already" in done.stderr


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "needs Landlock (Linux 5.13) and seccomp, and has neither"),
        (("seccomp",), "and has seccomp"),
        (("landlock 5", "seccomp"), "confined by landlock 5, seccomp"),
    ],
)
def test_walls_describe_themselves(names: tuple[str, ...], sentence: str) -> None:
    assert sentence in Walls(names).described
    assert Walls(names).complete is (len(names) == 2)
