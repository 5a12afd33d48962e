"""A PostgreSQL of the tests' own, from the binaries of this machine; never as root, only on loopback."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from modelyard_devstack.ports import free_port

UNPRIVILEGED: Final = "nobody"


def postgres_binaries() -> Path | None:
    """The folder of initdb and postgres, from PATH or pg_config; None if there is none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    if config := shutil.which("pg_config"):
        found_dir = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)  # noqa: S603
        folder = Path(found_dir.stdout.strip())
        if (folder / "initdb").exists():
            return folder
    return None


class Postgres:
    """One server; `url` is of its database `postgres`. `folder`: one that an unprivileged user can reach."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries, self._folder = binaries, folder
        self.port = free_port()
        self.user = "modelyard"

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        data = self._folder / "data"
        if os.geteuid() == 0:
            owner = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        self._run("initdb", "-D", str(data), "-U", self.user, "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-p {self.port} -k {self._folder} -h 127.0.0.1 -F -c shared_buffers=16MB"
        self._run("pg_ctl", "-D", str(data), "-w", "-t", "60", "-o", options, "-l", str(self._folder / "log"), "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "stop")

    def restart(self) -> None:
        """Stop hard and start on the same port."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "restart")

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Yield the URL of a new copy of a database; it is dropped afterwards, as each has some 300 files."""
        name = f"test_{uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self.url_of(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, sql: str) -> None:
        command = ("psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", self.user, "-d", "postgres", "-qc", sql)
        self._run(*command)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(  # noqa: S603
            [str(self._binaries / program), *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            cwd="/",
            user=UNPRIVILEGED if os.geteuid() == 0 else None,
            env={**os.environ, "LC_ALL": "C"},
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr}")
