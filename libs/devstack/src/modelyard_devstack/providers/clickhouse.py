"""Which ClickHouse: the one at CLICKHOUSE_URL, one in Docker, or the local development server.

The first that is given wins, and what is given but broken is an error. Docker is taken unasked only when an engine
answers and has the image already; MODELYARD_CLICKHOUSE_PROVIDER (given, docker, development) asks for one by name.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import httpx

from modelyard_devstack.providers import ProviderError
from modelyard_devstack.providers.process import Child

Provider = Literal["given", "docker", "development"]
START_TIMEOUT_S: Final = 90.0
REQUEST_TIMEOUT_S: Final = 10.0
DOCKER_IMAGE: Final = "clickhouse/clickhouse-server:25.8"


class Credentials(NamedTuple):
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, ...)"  # passwords do not belong into logs


@dataclass(frozen=True)
class RunningClickHouse:
    """A server that has answered a query of both users."""

    url: str
    """http(s)://host:port, without credentials."""
    database: str
    writer: Credentials
    reader: Credentials
    provider: Provider
    pid: int | None = None
    """The development server's process; None for a server that we did not start as a process."""
    _stop: Callable[[], None] = field(default=lambda: None, repr=False)

    def stop(self) -> None:
        """End what was started here; a given server is left alone. May be called twice."""
        self._stop()

    def environ(self) -> dict[str, str]:
        """The variables by which this very server is given to another process."""
        return {
            "CLICKHOUSE_URL": self.url,
            "CLICKHOUSE_DATABASE": self.database,
            "CLICKHOUSE_USER": self.writer.user,
            "CLICKHOUSE_PASSWORD": self.writer.password,
            "CLICKHOUSE_READER_USER": self.reader.user,
            "CLICKHOUSE_READER_PASSWORD": self.reader.password,
        }


def start_clickhouse(data_dir: Path, port: int = 0, environ: Mapping[str, str] = os.environ) -> RunningClickHouse:
    """Find or start the ClickHouse to use; blocks until it answers. Raises ProviderError.

    data_dir: the development server's folder and the place of its generated passwords (kept between starts).
    port: of the development server or the container; 0 takes a free one.
    """
    asked = environ.get("MODELYARD_CLICKHOUSE_PROVIDER", "")
    if asked not in ("", "given", "docker", "development"):
        raise ProviderError(f"MODELYARD_CLICKHOUSE_PROVIDER={asked!r} is unknown: use given, docker or development")
    if environ.get("CLICKHOUSE_URL") and asked in ("", "given"):
        return _given(environ)
    if asked == "given":
        raise ProviderError("MODELYARD_CLICKHOUSE_PROVIDER=given needs CLICKHOUSE_URL")
    database = environ.get("CLICKHOUSE_DATABASE") or "ml"
    passwords = _passwords(data_dir)
    if asked == "docker" or (not asked and _docker_has_image()):
        return _in_docker(passwords, database, port)
    return _development(data_dir, passwords, database, port, environ)


def _given(environ: Mapping[str, str]) -> RunningClickHouse:
    """The server at CLICKHOUSE_URL. Without CLICKHOUSE_READER_USER the reader is the same user."""
    parts = urlsplit(environ["CLICKHOUSE_URL"])
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ProviderError("CLICKHOUSE_URL must look like http://host:8123 (the HTTP interface)")
    if parts.username or parts.password:
        raise ProviderError("CLICKHOUSE_URL must not hold credentials: use CLICKHOUSE_USER and CLICKHOUSE_PASSWORD")
    writer = Credentials(environ.get("CLICKHOUSE_USER") or "default", environ.get("CLICKHOUSE_PASSWORD", ""))
    reader = (
        Credentials(environ["CLICKHOUSE_READER_USER"], environ.get("CLICKHOUSE_READER_PASSWORD", ""))
        if environ.get("CLICKHOUSE_READER_USER")
        else writer
    )
    url = f"{parts.scheme}://{parts.netloc}"
    database = environ.get("CLICKHOUSE_DATABASE") or "ml"
    running = RunningClickHouse(url, database, writer, reader, "given")
    _ask(running, writer, f"CREATE DATABASE IF NOT EXISTS `{database}`", "CLICKHOUSE_URL, CLICKHOUSE_USER")
    _ask(running, reader, "SELECT 1", "CLICKHOUSE_READER_USER")
    return running


def _ask(server: RunningClickHouse, who: Credentials, sql: str, settings: str) -> None:
    headers = {"X-ClickHouse-User": who.user, "X-ClickHouse-Key": who.password}
    try:
        answer = httpx.post(server.url, content=sql, headers=headers, timeout=REQUEST_TIMEOUT_S)
    except httpx.HTTPError as error:
        raise ProviderError(
            f"ClickHouse at {server.url} does not answer ({error}): start it, or correct {settings}"
        ) from error
    if answer.status_code != 200:
        reason = answer.text.strip()[:300]
        raise ProviderError(f"ClickHouse at {server.url} refuses user {who.user!r}: {reason}; check {settings}")


def _passwords(data_dir: Path) -> dict[str, str]:
    """Made once, readable by the owner only."""
    path = data_dir / "passwords.json"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            made = {role: secrets.token_urlsafe(24) for role in ("writer", "reader")}
            fresh = path.with_suffix(f".{os.getpid()}")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                json.dump(made, file)
            fresh.rename(path)
        found: dict[str, str] = json.loads(path.read_text())
        return {role: found[role] for role in ("writer", "reader")}
    except (OSError, ValueError, KeyError) as error:
        raise ProviderError(f"the ClickHouse passwords in {path} cannot be read or made: {error}") from error


def _development(
    data_dir: Path, passwords: Mapping[str, str], database: str, port: int, environ: Mapping[str, str]
) -> RunningClickHouse:
    if importlib.util.find_spec("modelyard_devclickhouse") is None:
        raise ProviderError("no CLICKHOUSE_URL is set and the package modelyard-devclickhouse is not installed")
    command = [sys.executable, "-m", "modelyard_devclickhouse", "--port", str(port), "--database", database]
    command += ["--data", str(data_dir), "--passwords-file", str(data_dir / "passwords.json")]
    child = Child(command, data_dir / "server.log", environ)
    address = child.wait_for(r"^ready (\S+)$", START_TIMEOUT_S, "the local ClickHouse")[1]
    return RunningClickHouse(
        f"http://{address}",
        database,
        Credentials("writer", passwords["writer"]),
        Credentials("reader", passwords["reader"]),
        "development",
        child.pid,
        child.stop,
    )


def _docker_has_image() -> bool:
    if importlib.util.find_spec("docker") is None:
        return False
    import docker

    try:
        engine: Any = docker.from_env(timeout=2)
        try:
            engine.images.get(DOCKER_IMAGE)
        finally:
            engine.close()
    except Exception:  # no engine, no permission or no image: all mean "not available", and it was not requested
        return False
    return True


def _in_docker(passwords: Mapping[str, str], database: str, port: int) -> RunningClickHouse:
    """A container that is removed, with its data, on stop()."""
    try:
        from testcontainers.core.container import DockerContainer
    except ImportError as error:
        raise ProviderError("ClickHouse in Docker needs the package testcontainers: install it") from error
    container: Any = DockerContainer(DOCKER_IMAGE)
    container.with_env("CLICKHOUSE_USER", "writer").with_env("CLICKHOUSE_PASSWORD", passwords["writer"])
    container.with_env("CLICKHOUSE_DB", database).with_env("CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT", "1")
    container.with_bind_ports(8123, port or None)
    try:
        container.start()
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(8123)}"
        _await_ping(url)
    except Exception as error:
        container.stop()
        raise ProviderError(f"ClickHouse in Docker ({DOCKER_IMAGE}) did not start: {error}") from error
    writer, reader = (Credentials(role, passwords[role]) for role in ("writer", "reader"))
    running = RunningClickHouse(url, database, writer, reader, "docker", None, container.stop)
    try:
        _make_reader(running)
    except ProviderError:
        container.stop()
        raise
    return running


def _await_ping(url: str) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            httpx.get(f"{url}/ping", timeout=REQUEST_TIMEOUT_S).raise_for_status()
            return
        except httpx.HTTPError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)


def _make_reader(server: RunningClickHouse) -> None:
    password = server.reader.password.replace("'", "")
    for sql in (
        f"CREATE USER IF NOT EXISTS reader IDENTIFIED BY '{password}' SETTINGS readonly = 1",
        f"GRANT SELECT, SHOW ON `{server.database}`.* TO reader",
    ):
        _ask(server, server.writer, sql, "the container's log")
    _ask(server, server.reader, "SELECT 1", "the container's log")
