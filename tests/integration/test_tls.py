"""Calls to https URLs check the certificate against SSL_CERT_FILE: other services, schemas, keys, ClickHouse."""

import asyncio
import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from modelyard import RegistryClient
from modelyard_cli.context import Platform
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_deployer.clients.monitor import HttpMonitor
from modelyard_devstack.testing.secured_kafka import create_secrets
from modelyard_evaluator.clients.labels import ClickHouseLabels
from modelyard_evaluator.scoring.clickhouse import query as scoring_query
from modelyard_monitor.store.connection import connect
from modelyard_runtime.access import registry_introspection
from modelyard_runtime.errors import StartupError
from modelyard_runtime.schemas import RegistrySchemas
from modelyard_runtime.settings import ServiceSettings
from modelyard_trainer.worker.clickhouse import clickhouse

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("loopback")]


class Answers(http.server.BaseHTTPRequestHandler):
    """Refuses every request; the list of requests shows who trusted the certificate."""

    seen: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_error(400)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None: ...


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A client that does not trust the certificate closes the connection."""


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create_secrets(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def seen(secrets: Path) -> Iterator[tuple[str, list[str]]]:
    """URL of an https server with a certificate of the deployment's authority, and the paths it was asked for."""

    class Handler(Answers):
        seen: ClassVar[list[str]] = []

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(secrets / "tls.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}", Handler.seen
    server.shutdown()
    server.server_close()


def _introspect(url: str) -> None:
    async def ask() -> None:
        await registry_introspection(url, "k")("token")

    asyncio.run(ask())


def _score(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "PASSWORD", "DATABASE"):
        monkeypatch.setenv(f"CLICKHOUSE_{name}", "x")
    monkeypatch.setenv("CLICKHOUSE_URL", url)
    scoring_query("SELECT 1", {})


def _cli(url: str) -> None:
    fields: dict[str, Any] = {"urls": {}, "token": "", "kafka_bootstrap": "", "data_dir": None}
    Platform(
        **fields, clickhouse_url=url, clickhouse_database="ml", clickhouse_user="u", clickhouse_password="p"
    ).query("SELECT 1")


VALUE = Signature(columns=(Column(name="age"),), output=Output(task=Task.REGRESSION))
Call = Callable[[str, pytest.MonkeyPatch], object]
CALLS: dict[str, Call] = {
    "client": lambda url, _: RegistryClient(url, "t").models(),
    "introspection": lambda url, _: _introspect(url),
    "schemas": lambda url, _: RegistrySchemas(url, "k").by_id(1),
    "deployer-monitor": lambda url, _: HttpMonitor(url, "t").health("m", "r", datetime.now(UTC), 1, 2),
    "monitor-clickhouse": lambda url, _: connect(url, "u", "p"),
    "evaluator-labels": lambda url, _: ClickHouseLabels(url, "u", "p", "ml").count(
        "m", datetime.now(UTC), {"one": VALUE}
    ),
    "evaluator-scoring": _score,
    "trainer-worker": lambda url, _: clickhouse({"url": url, "user": "u", "database": "ml"})("SELECT 1", {}),
    "command-line": lambda url, _: _cli(url),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_sent_only_to_a_server_whose_authority_is_trusted(
    seen: tuple[str, list[str]], secrets: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    url, paths = seen
    call = CALLS[name]
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    _attempt(call, url, monkeypatch)
    assert paths == []
    monkeypatch.setenv("SSL_CERT_FILE", str(secrets / "ca.pem"))
    _attempt(call, url, monkeypatch)
    assert paths


def _attempt(call: Call, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        call(url, monkeypatch)
    except Exception as error:
        assert "Traceback" not in str(error)


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_a_file_without_certificates_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    """OpenSSL alone would take it for an empty list, and every call would fail later."""
    file, key = tmp_path / "ca.pem", tmp_path / "key"
    key.write_text("k" * 40)
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("MODELYARD_SERVICE_KEY_FILE", str(key))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(StartupError, match=r"SSL_CERT_FILE: cannot use .*; give certificates in PEM"):
        ServiceSettings().check_files()
