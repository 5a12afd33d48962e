"""Which Kafka the environment gets: what is configured is used, and when it does not work that is an error."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelyard_devstack.providers import ProviderError, kafka
from modelyard_devstack.providers.kafka import start_kafka

BARE: Mapping[str, str] = {k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "MODELYARD_"))}


def connects(bootstrap: str) -> bool:
    host, _, port = bootstrap.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.fixture
def no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "_docker_answers", lambda environ: False)


@pytest.mark.usefixtures("no_docker", "loopback")
def test_without_any_setting_the_development_broker_is_started_and_stopped(tmp_path: Path) -> None:
    with start_kafka(tmp_path, environ=BARE) as running:
        assert (running.provider, connects(running.bootstrap)) == ("development", True)
        assert running.pid is not None
    assert not connects(running.bootstrap)


@pytest.mark.usefixtures("loopback")
def test_a_given_address_is_used_and_left_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        given = f"127.0.0.1:{server.getsockname()[1]}"
        environ = {**BARE, "KAFKA_BOOTSTRAP_SERVERS": given, "KAFKA_HOME": "/somewhere"}
        running = start_kafka(tmp_path, environ=environ)
        running.stop()
        assert (running.bootstrap, running.provider, running.pid) == (given, "given", None)
        assert connects(given)


@pytest.mark.usefixtures("loopback")
@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "KAFKA_BOOTSTRAP_SERVERS: no server can be reached"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "nonsense"}, "KAFKA_BOOTSTRAP_SERVERS: no server can be reached"),
        ({"KAFKA_HOME": "/no/such/folder"}, "KAFKA_HOME=/no/such/folder: there is no libs/kafka"),
        ({"MODELYARD_KAFKA_PROVIDER": "tansu"}, "MODELYARD_KAFKA_PROVIDER=tansu: one of given"),
        ({"MODELYARD_KAFKA_PROVIDER": "given"}, "KAFKA_BOOTSTRAP_SERVERS: no server can be reached \\(it is empty\\)"),
    ],
)
def test_what_is_configured_but_broken_is_an_error_that_names_it(
    tmp_path: Path, environ: Mapping[str, str], names: str
) -> None:
    with pytest.raises(ProviderError, match=names):
        start_kafka(tmp_path, environ={**BARE, **environ})
    assert not list(tmp_path.iterdir()), "nothing else was started"


@pytest.mark.usefixtures("no_docker")
def test_docker_asked_for_but_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="no engine answers"):
        start_kafka(tmp_path, environ={**BARE, "MODELYARD_KAFKA_PROVIDER": "docker"})


@pytest.mark.usefixtures("no_docker", "loopback")
def test_a_broker_that_does_not_start_says_why(tmp_path: Path) -> None:
    with start_kafka(tmp_path, environ=BARE), pytest.raises(ProviderError, match="belongs to a running broker"):
        start_kafka(tmp_path, environ=BARE)


@pytest.mark.usefixtures("no_docker")
def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProviderError, match="file/data"):
        start_kafka(tmp_path / "file" / "data", environ=BARE)


def test_java_missing_is_said(tmp_path: Path) -> None:
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.3.1.jar").write_text("")
    environ = {**BARE, "KAFKA_HOME": str(tmp_path), "PATH": str(tmp_path), "JAVA_HOME": ""}
    with pytest.raises(ProviderError, match="needs java 17"):
        start_kafka(tmp_path / "data", environ=environ)
