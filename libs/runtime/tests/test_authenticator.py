"""Keys are checked at the registry; its answers are cached for a short time."""

import asyncio
import base64
import json
import pickle
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from modelyard_runtime.access import Authenticator, Principal, registry_introspection, token_of
from modelyard_runtime.access.introspection import Introspected
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.errors import Unavailable

ADMIN = "an-admin-key-of-some-length"
READER = Principal("reader", "user", {"acme": frozenset({"viewer"})})


class Registry:
    """A registry that holds keys in memory and counts questions."""

    def __init__(self) -> None:
        self.keys: dict[str, Principal | Introspected] = {"good": READER}
        self.away = False
        self.asked = 0

    async def __call__(self, token: str) -> Principal | Introspected | None:
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
    assert principal.kind == "bootstrap"
    assert principal.roles == {"*": frozenset({"admin"})}


async def test_without_an_admin_key_of_its_own_a_service_asks_about_every_key(
    registry: Registry, fake_clock: FakeClock
) -> None:
    assert await Authenticator(None, registry, fake_clock).authenticate(ADMIN) is None
    assert registry.asked == 1


async def test_an_unknown_key_is_refused(authenticator: Authenticator) -> None:
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


async def test_a_key_is_refused_once_it_expires_however_fresh_the_answer(
    authenticator: Authenticator, registry: Registry, fake_clock: FakeClock
) -> None:
    registry.keys["good"] = Introspected(READER, fake_clock() + timedelta(seconds=10))
    assert await authenticator.authenticate("good") == READER
    fake_clock.advance(9)
    assert authenticator.known(b"Bearer good") == READER
    fake_clock.advance(1)
    assert authenticator.known(b"Bearer good") is None
    assert await authenticator.authenticate("good") is None


async def test_a_known_header_is_found_without_asking(
    authenticator: Authenticator, registry: Registry, fake_clock: FakeClock
) -> None:
    assert authenticator.known(b"Bearer good") is None
    await authenticator.authenticate("good")
    assert authenticator.known(b"Bearer good") == READER
    fake_clock.advance(31)
    assert authenticator.known(b"Bearer good") is None
    assert authenticator.known(f"Bearer {ADMIN}".encode()) is not None
    assert registry.asked == 1


async def test_no_key_is_kept_after_its_request(authenticator: Authenticator, registry: Registry) -> None:
    key = "my_0123_a-secret-of-some-length"
    registry.keys[key] = READER
    await authenticator.authenticate(key)
    kept = pickle.dumps({name: value for name, value in vars(authenticator).items() if name != "_introspect"})
    assert b"a-secret" not in kept
    assert ADMIN.encode() not in kept


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
    with pytest.raises(ValueError, match="accept every request"):
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


ANSWERS: dict[str, dict[str, object]] = {
    "/v1/keys/introspect": {
        "identity": "reader",
        "kind": "user",
        "roles": {"acme": ["viewer"]},
        "scopes": None,
        "expires_at": "2030-01-01T00:00:00+00:00",
    },
}


class _Registry(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["key"]
        known = self.headers["Authorization"] == f"Bearer {ADMIN}" and asked == "good"
        answer = {"active": True, **ANSWERS[self.path]} if known and self.path in ANSWERS else {"active": False}
        self.send_response(200 if self.path in ANSWERS else 404)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


async def test_the_registry_is_asked_over_http() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    ask = registry_introspection(f"{url}/", ADMIN)
    try:
        assert await ask("good") == Introspected(READER, datetime(2030, 1, 1, tzinfo=UTC))
        assert await ask("bad") is None
        with pytest.raises(Unavailable):
            await registry_introspection(f"{url}/wrong", ADMIN)("good")
    finally:
        server.shutdown()
        server.server_close()


async def test_a_very_long_token_is_refused_without_asking(authenticator: Authenticator, registry: Registry) -> None:
    registry.away = True
    assert await authenticator.authenticate("x" * 1_001) is None
    assert registry.asked == 0


async def test_a_flood_of_wrong_keys_does_not_push_out_the_known_ones(
    authenticator: Authenticator, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard_runtime.access.authenticator.MAX_CACHED", 50)
    assert await authenticator.authenticate("good") == READER
    for number in range(200):
        assert await authenticator.authenticate(f"wrong-{number}") is None
    assert authenticator.cached <= 50
    registry.away = True
    assert await authenticator.authenticate("good") == READER
