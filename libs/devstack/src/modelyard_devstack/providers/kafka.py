"""Which Kafka: `KAFKA_BOOTSTRAP_SERVERS`, else `KAFKA_HOME`, else Docker, else the development broker.

`MODELYARD_KAFKA_PROVIDER` names one of given, kafka-home, docker, development; then only that one will do. CI pins it,
so that a provider that went missing is seen.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from modelyard_devstack.providers import ProviderError
from modelyard_devstack.providers.kafka_home import start_kraft
from modelyard_devstack.providers.process import Child

Provider = Literal["given", "kafka-home", "docker", "development"]
DOCKER_IMAGE: Final = "confluentinc/cp-kafka:7.9.0"
CONNECT_TIMEOUT_S: Final = 10.0
START_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class RunningKafka:
    """A Kafka that answers. `pid` is of a process of ours; `stop` leaves a given one alone."""

    bootstrap: str
    provider: Provider
    pid: int | None = None
    _stop: Callable[[], None] = field(default=lambda: None, repr=False)

    def stop(self) -> None:
        """May be called again. What is in the data folder stays (not with Docker)."""
        self._stop()

    def __enter__(self) -> RunningKafka:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_kafka(data_dir: Path, port: int = 0, environ: Mapping[str, str] = os.environ) -> RunningKafka:
    """Start or find the Kafka that the environment asks for; returns when clients can connect.

    data_dir: where a broker of ours keeps its data and log; used again, it finds its topics again.
    port: for a broker of ours; 0 takes a free one.
    Raises ProviderError: what is configured does not work.
    """
    pinned = environ.get("MODELYARD_KAFKA_PROVIDER") or None
    if pinned is not None and pinned not in get_args(Provider):
        raise ProviderError(f"MODELYARD_KAFKA_PROVIDER={pinned}: one of {', '.join(get_args(Provider))}")
    provider = cast(Provider, pinned) if pinned else _configured(environ)
    return _STARTS[provider](data_dir, port, environ)


def _configured(environ: Mapping[str, str]) -> Provider:
    if environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        return "given"
    if environ.get("KAFKA_HOME"):
        return "kafka-home"
    return "docker" if _docker_answers(environ) else "development"


def _given(data_dir: Path, port: int, environ: Mapping[str, str]) -> RunningKafka:
    bootstrap = environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
    problems = []
    for server in filter(None, (part.strip() for part in bootstrap.split(","))):
        host, _, number = server.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(number)), timeout=CONNECT_TIMEOUT_S).close()
        except (OSError, ValueError) as problem:
            problems.append(f"{server}: {problem}")
        else:
            return RunningKafka(bootstrap, "given")
    why = "; ".join(problems) or "it is empty"
    raise ProviderError(f"KAFKA_BOOTSTRAP_SERVERS: no server can be reached ({why}). Correct it, or unset it.")


def _kafka_home(data_dir: Path, port: int, environ: Mapping[str, str]) -> RunningKafka:
    bootstrap, child = start_kraft(environ.get("KAFKA_HOME", ""), data_dir, port, environ)
    return RunningKafka(bootstrap, "kafka-home", child.pid, child.stop)


def _development(data_dir: Path, port: int, environ: Mapping[str, str]) -> RunningKafka:
    command = [sys.executable, "-m", "modelyard_devkafka", "--port", str(port), "--data", str(data_dir)]
    child = Child(command, data_dir / "broker.log", environ)
    ready = child.wait_for(r"^ready (\S+)$", START_TIMEOUT_S, "the development broker")
    return RunningKafka(ready[1], "development", child.pid, child.stop)


def _docker_answers(environ: Mapping[str, str]) -> bool:
    """Whether an engine is there and testcontainers is installed; neither is a default worth having."""
    try:
        import docker
        import testcontainers.community.kafka  # noqa: F401
    except ImportError:
        return False
    try:
        client = docker.from_env(environment=dict(environ), timeout=5)
        return bool(client.ping())
    except (docker.errors.DockerException, OSError):
        return False


def _docker(data_dir: Path, port: int, environ: Mapping[str, str]) -> RunningKafka:
    if not _docker_answers(environ):
        raise ProviderError("MODELYARD_KAFKA_PROVIDER=docker: no engine answers, or testcontainers is not installed")
    from testcontainers.community.kafka import KafkaContainer

    container: Any = KafkaContainer(DOCKER_IMAGE).with_kraft()
    if port:
        container = container.with_bind_ports(container.port, port)
    try:
        container.start()
    except Exception as problem:
        raise ProviderError(f"Docker answers, but {DOCKER_IMAGE} does not start: {problem}") from problem
    return RunningKafka(str(container.get_bootstrap_server()), "docker", None, container.stop)


_STARTS: Final[Mapping[Provider, Callable[[Path, int, Mapping[str, str]], RunningKafka]]] = {
    "given": _given,
    "kafka-home": _kafka_home,
    "docker": _docker,
    "development": _development,
}
