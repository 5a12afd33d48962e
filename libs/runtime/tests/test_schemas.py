"""Schemas of a newer release are asked of the registry; a registry that is away is no reason for a dead letter."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from modelyard_contracts.codec import Codec, Undecodable, schema_fingerprint
from modelyard_contracts.messages import TrainingRunRequested
from modelyard_contracts.topics import schema_text
from modelyard_runtime.errors import Unavailable, retryable
from modelyard_runtime.schemas import RegistrySchemas

KEY = "k" * 32
TEXT = schema_text(TrainingRunRequested.TOPIC)


class _Registry(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = {"/schemas/ids/900": TEXT, f"/schemas/fingerprints/{schema_fingerprint(TEXT).hex()}": TEXT}
        allowed = self.headers["Authorization"] == f"Bearer {KEY}"
        self.send_response(500 if not allowed else 200 if self.path in known else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"schema": known.get(self.path)}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_schema_is_found_by_id_and_by_fingerprint(url: str) -> None:
    schemas = RegistrySchemas(url, KEY)
    assert schemas.by_id(900) == TEXT
    assert schemas.by_fingerprint(schema_fingerprint(TEXT).hex()) == TEXT
    assert schemas.by_id(901) is None


def test_a_message_of_an_unknown_id_is_a_dead_letter_but_not_while_the_registry_is_away(url: str) -> None:
    data = b"\x00" + (901).to_bytes(4, "big") + b"body"
    with pytest.raises(Undecodable, match="901 is not known"):
        Codec(RegistrySchemas(url, KEY)).decode(data, TrainingRunRequested)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        for lookup in (
            RegistrySchemas(url, "wrong"),
            RegistrySchemas(f"http://127.0.0.1:{deaf.getsockname()[1]}", KEY),
        ):
            with pytest.raises(Unavailable, match="schema at") as caught:
                Codec(lookup).decode(data, TrainingRunRequested)
            assert retryable(caught.value)
