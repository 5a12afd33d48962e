"""python -m modelyard_devclickhouse --port P --data DIR: one process, one data folder, one port.

It starts twice: the first start reads the passwords and replaces itself by the second, whose environment and memory
hold neither passwords nor what else the caller's environment held.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from modelyard_devclickhouse.config import MIB, CannotStart, Passwords, Settings, lock_folder

_HANDED_OVER: Final = "MODELYARD_DEVCLICKHOUSE_FILES"
"""File descriptors of the folder's lock and of a pipe with the passwords' hashes."""
_KEPT: Final = ("PATH", "LANG", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_KEPT_PREFIXES: Final = ("PYTHON", "LC_", "COVERAGE_")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal; exit code 0 after a clean stop, 2 if the server cannot start."""
    arguments = _parser().parse_args(argv)
    settings = Settings(
        data=arguments.data.resolve(),
        host=arguments.host,
        port=arguments.port,
        database=arguments.database,
        fsync=arguments.fsync,
        query_log=arguments.query_log,
        max_memory_bytes=arguments.max_memory_mib * MIB,
    )
    try:
        if _HANDED_OVER not in os.environ:
            lock = lock_folder(settings.data)
            _start_again(lock, Passwords.read(os.environ, arguments.passwords_file, settings.data), argv)
        return _run(settings)
    except CannotStart as error:
        print(f"modelyard_devclickhouse: {error}", file=sys.stderr)
        return 2


def _start_again(lock: IO[str], passwords: Passwords, argv: Sequence[str] | None) -> None:
    """Replace this program by the same one with a clean environment. Does not return."""
    read, write = os.pipe()
    os.write(write, json.dumps({"salt": passwords.salt, "hashes": passwords.hashes}).encode())
    os.close(write)
    for handed in (read, lock.fileno()):
        os.set_inheritable(handed, True)
    environ = {**_clean(os.environ), _HANDED_OVER: f"{lock.fileno()} {read}"}
    command = sys.orig_argv[1:] if argv is None else ["-m", "modelyard_devclickhouse", *argv]
    os.execve(sys.executable, [sys.executable, *command], environ)  # noqa: S606 - this very program


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}


def _run(settings: Settings) -> int:
    lock, pipe = (int(number) for number in os.environ.pop(_HANDED_OVER).split())
    with os.fdopen(pipe, "rb") as handed:
        passwords = Passwords(**json.loads(handed.read()))
    os.set_inheritable(lock, False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard)
    )  # parts and pipes need many file descriptors
    from modelyard_devclickhouse.server import run  # after the second start: it imports the whole server

    run(settings, passwords)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelyard_devclickhouse", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder that this process alone owns")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument("--database", default="ml", help="database made at the start and used by default")
    parser.add_argument("--passwords-file", type=Path, help='JSON {"writer": ..., "reader": ...}')
    parser.add_argument("--fsync", action="store_true", help="survive power loss, at half the insert speed")
    parser.add_argument("--query-log", action="store_true", help="keep system.query_log for three days")
    parser.add_argument("--max-memory-mib", type=int, default=4096, help="memory the engine may use (default 4096)")
    return parser


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # some idle threads of the engine never exit
