"""Probes of a real HTTP server: one connection, replaced when it was closed."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from modelyard_deployer.workloads.probes import Probes


class Replica(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status = 200
    closes = False
    seen: list[tuple[int, str | None]]
    hung: Event

    def do_GET(self) -> None:
        self.seen.append((self.client_address[1], self.headers["Authorization"]))
        if self.hung.is_set():
            return
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = self.closes

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def replica(loopback: None) -> Iterator[tuple[str, type[Replica]]]:
    handler = type("Handler", (Replica,), {"seen": [], "hung": Event()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()


def test_one_connection_serves_all_probes_with_the_current_token(replica: tuple[str, type[Replica]]) -> None:
    url, handler = replica
    tokens = iter(["a", "b", "c"])
    probes = Probes(lambda: next(tokens), 5.0)
    assert [probes.answers(url) for _ in range(3)] == [True] * 3
    assert len({port for port, _ in handler.seen}) == 1
    assert [token for _, token in handler.seen] == ["Bearer a", "Bearer b", "Bearer c"]
    probes.close()


def test_a_connection_that_the_replica_closed_is_replaced(replica: tuple[str, type[Replica]]) -> None:
    url, handler = replica
    probes = Probes(lambda: "token", 5.0)
    handler.closes = True
    assert [probes.answers(url) for _ in range(3)] == [True] * 3
    probes.close()


def test_a_replica_that_is_not_ready_hangs_or_is_gone_does_not_answer(replica: tuple[str, type[Replica]]) -> None:
    url, handler = replica
    probes = Probes(lambda: "token", 0.4)
    handler.status = 503
    assert not probes.answers(url)
    handler.status = 200
    handler.hung.set()
    assert not probes.answers(url)
    handler.hung.clear()
    assert probes.answers(url)
    assert not probes.answers("http://127.0.0.1:1")
    probes.close()
