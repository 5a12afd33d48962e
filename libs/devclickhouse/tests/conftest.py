"""A server shared by all tests, and a separate one for tests that kill it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modelyard_devstack.testing.processes import Process

PASSWORDS = {"writer": "w-secret", "reader": "r-secret", "default": "w-secret"}
ENVIRON = {
    "DEVCLICKHOUSE_WRITER_PASSWORD": PASSWORDS["writer"],
    "DEVCLICKHOUSE_READER_PASSWORD": PASSWORDS["reader"],
}


class Server(Process):
    def __init__(self, data: Path, *options: str, port: int = 0) -> None:
        command = [sys.executable, "-m", "modelyard_devclickhouse", "--port", str(port), "--data", str(data), *options]
        super().__init__(command, ENVIRON)
        self.client = httpx.Client(timeout=60)

    @property
    def url(self) -> str:
        return f"http://{self.address}/"

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1].strip("/"))

    def ask(self, sql: str | bytes, user: str = "writer", **parameters: str) -> httpx.Response:
        """One statement over HTTP."""
        auth = (user, PASSWORDS[user])
        return self.client.post(self.url, params=parameters, content=sql, auth=auth)

    def value(self, sql: str, user: str = "writer", **parameters: str) -> str:
        answer = self.ask(sql, user, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.text.rstrip("\n")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Shared by all tests: use unique table names."""
    started = Server(tmp_path_factory.mktemp("clickhouse")).start()
    yield started
    assert started.stop() == 0, started.output
    assert "Traceback" not in started.output


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path / "data").start()
    yield started
    started.kill()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """A file that statements must not read."""
    path = tmp_path / "secret.txt"
    path.write_text("top-secret-7351\n")
    return path
