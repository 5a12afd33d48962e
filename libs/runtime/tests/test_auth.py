"""Who may come in, and what is remembered when the registry is away."""

import asyncio
import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from modelyard_runtime.auth import Authenticator, Principal, registry_introspection, token_of
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.errors import Unavailable

ADMIN = "an-admin-key-of-some-length"
READER = Principal("reader", frozenset({"read"}))


class Registry:
    """What the registry would answer, and how often it was asked."""

    def __init__(self) -> None:
        self.keys: dict[str, Principal] = {"good": READER}
        self.away = False
        self.asked = 0

    async def __call__(self, token: str) -> Principal | None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise OSError("connection refused")
        return self.keys.get(token)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def authenticator(registry: Registry, fake_clock: FakeClock) -> Authenticator:
    return Authenticator(ADMIN, registry, fake_clock)


async def test_the_bootstrap_key_is_an_admin_without_asking(authenticator: Authenticator, registry: Registry) -> None:
    registry.away = True
    principal = await authenticator.authenticate(ADMIN)
    assert principal is not None
    assert all(principal.may(scope) for scope in ("admin", "write", "read", "predict", "service"))


async def test_an_unknown_key_is_nobody(authenticator: Authenticator) -> None:
    assert await authenticator.authenticate("bad") is None
    assert await authenticator.authenticate("") is None
    assert await authenticator.authenticate(ADMIN[:-1]) is None


async def test_an_answer_is_good_for_thirty_seconds(
    authenticator: Authenticator, registry: Registry, fake_clock: FakeClock
) -> None:
    await asyncio.gather(*(authenticator.authenticate("good") for _ in range(20)))
    assert registry.asked == 1, "one question, however many wait for it"
    fake_clock.advance(29)
    assert await authenticator.authenticate("good") == READER
    assert registry.asked == 1
    del registry.keys["good"]
    fake_clock.advance(2)
    assert await authenticator.authenticate("good") is None


async def test_a_refusal_is_good_for_five_seconds(
    authenticator: Authenticator, registry: Registry, fake_clock: FakeClock
) -> None:
    assert await authenticator.authenticate("new") is None
    registry.keys["new"] = READER
    fake_clock.advance(4)
    assert await authenticator.authenticate("new") is None
    fake_clock.advance(2)
    assert await authenticator.authenticate("new") == READER


async def test_a_known_key_stays_good_for_ten_minutes_while_the_registry_is_away(
    authenticator: Authenticator, registry: Registry, fake_clock: FakeClock
) -> None:
    assert await authenticator.authenticate("good") == READER
    registry.away = True
    fake_clock.advance(9 * 60)
    assert await authenticator.authenticate("good") == READER
    fake_clock.advance(61)
    with pytest.raises(Unavailable):
        await authenticator.authenticate("good")
    with pytest.raises(Unavailable):
        await authenticator.authenticate("never-seen")


def test_an_empty_admin_key_is_refused(fake_clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="let everybody in"):
        Authenticator("", None, fake_clock)


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic " + base64.b64encode(b"user:abc").decode(), "abc"),
        ("Basic !!!", None),
        ("Bearer", None),
        ("Digest abc", None),
        ("", None),
        (None, None),
    ],
)
def test_the_token_is_found_in_the_header(header: str | None, token: str | None) -> None:
    assert token_of(header) == token


class _Registry(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["key"]
        known = self.headers["Authorization"] == f"Bearer {ADMIN}" and asked == "good"
        answer = {"active": True, "name": "reader", "scopes": ["read", "invented"]} if known else {"active": False}
        self.send_response(200 if self.path == "/v1/api-keys/introspect" else 404)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


async def test_the_registry_is_asked_over_http() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ask = registry_introspection(f"http://127.0.0.1:{server.server_port}/", ADMIN)
    try:
        assert await ask("good") == READER
        assert await ask("bad") is None
        with pytest.raises(Unavailable):
            await registry_introspection(f"http://127.0.0.1:{server.server_port}/wrong", ADMIN)("good")
    finally:
        server.shutdown()
        server.server_close()


async def test_a_token_without_end_is_nobody_and_is_not_asked_about(
    authenticator: Authenticator, registry: Registry
) -> None:
    registry.away = True
    assert await authenticator.authenticate("x" * 1_001) is None
    assert registry.asked == 0


async def test_a_flood_of_wrong_keys_does_not_push_out_the_known_ones(
    authenticator: Authenticator, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard_runtime.auth.MAX_REMEMBERED", 50)
    assert await authenticator.authenticate("good") == READER
    for number in range(200):
        assert await authenticator.authenticate(f"wrong-{number}") is None
    assert len(authenticator._answers) <= 50
    registry.away = True
    assert await authenticator.authenticate("good") == READER
