"""Hostile or badly written callers and replicas."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from typing import Any

import pytest

from modelyard_devstack.testing import eventually
from modelyard_router.fastpath.protocol import FastPathProtocol

from .conftest import KEY, ROW, Make, World
from .replica import Behaviour
from .sockets import raw_request, read_answer

BODY = json.dumps({"features": ROW}).encode()
AUTHORIZED = {"authorization": f"Bearer {KEY}"}
UPGRADE = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAARAAAAAAAIAAAAA"}
HALF_AN_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n{"


@pytest.fixture
def transport() -> str:
    return "socket"


def request(body: bytes = BODY, headers: Mapping[str, str] | None = None) -> bytes:
    given = {**AUTHORIZED, "content-length": str(len(body)), **(headers or {})}
    return raw_request("POST", "/v1/predict/elec", given, [body])


async def asked(world: World, *requests: bytes) -> list[tuple[int, Any]]:
    """Answers to requests that are sent together on one connection."""
    assert world.server is not None
    await world.server.warm(AUTHORIZED["authorization"])
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    writer.write(b"".join(requests))
    answers = []
    for _ in requests:
        async with asyncio.timeout(20):
            status, _headers, body = await read_answer(reader)
        answers.append((status, json.loads(body)))
    writer.close()
    return answers


async def test_a_prediction_that_asks_for_an_upgrade_is_answered_like_any_other(world: World) -> None:
    """Java's client asks for HTTP/2 in every first request of a connection."""
    await world.serve()
    [upgrading] = await asked(world, request(headers=UPGRADE))
    assert (upgrading[0], upgrading[1]["class"]) == (200, "up")
    both = await asked(world, request(headers=UPGRADE), request())
    assert [status for status, _ in both] == [200, 200]


@pytest.mark.parametrize(
    "surplus", [HALF_AN_ANSWER, HALF_AN_ANSWER + b"x" * 10_000, b"\x00garbage", b"HTTP/1.1 200 OK"]
)
async def test_surplus_bytes_of_a_replica_are_not_part_of_the_next_answer(world: World, surplus: bytes) -> None:
    replica = await world.serve(Behaviour(surplus=surplus))
    for price in (0.75, 0.25, 0.75):
        body = json.dumps({"features": {**ROW, "price": price}}).encode()
        [(status, answer)] = await asked(world, request(body))
        assert (status, answer["score"]) == (200, price)
    assert replica.behaviour.connections >= 3
    assert [len(one.attempts) for one in world.logged()] == [1, 1, 1]


async def test_a_body_that_never_arrives_ends_the_request(make_world: Make) -> None:
    world = await make_world(read_timeout_ms=300)
    await world.serve()
    [(status, problem)] = await asked(world, request()[: -len(BODY)])
    assert (status, problem["code"]) == (408, "body_too_slow")
    assert world.app.api.in_flight == 0


async def test_half_a_head_after_a_prediction_closes_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FastPathProtocol, "head_timeout_s", 0.5)
    await world.serve()
    assert world.server is not None
    await world.server.warm(AUTHORIZED["authorization"])
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    used = await asyncio.open_connection("127.0.0.1", world.server.port)
    used[1].write(request())
    assert (await read_answer(used[0]))[0] == 200
    assert world.server.fast_requests == 1
    writer.write(b"POST /v1/pre")
    async with asyncio.timeout(20):
        assert (await read_answer(reader))[0] == 408
    used[1].write(request())  # its head timer came up, too
    assert (await read_answer(used[0]))[0] == 200
    used[1].write(b"POST /v1/pre")
    async with asyncio.timeout(20):
        assert (await read_answer(used[0]))[0] == 408
    writer.close()
    used[1].close()


async def test_no_prediction_is_answered_once_the_log_folder_is_removed(make_world: Make) -> None:
    world = await make_world()
    await world.serve()
    [(before, _)] = await asked(world, request())
    shutil.rmtree(world.app.spool.folder)
    stop = asyncio.Event()
    watching = asyncio.create_task(world.app.watch(stop))
    await eventually(lambda: not world.app.readiness.ready)
    [(after, problem)] = await asked(world, request())
    assert (before, after, problem["code"]) == (200, 503, "spool_unwritable")
    stop.set()
    await watching


DEEP = b"[" * 2_000
HOSTILE = [
    DEEP,
    b'{"features":' + DEEP,
    b'{"features": {"price": ' + DEEP,
    b'{"features": {"price": 1, "colour": "\\ud800", "demand": 1}}',
    b'{"features": {"price": 1' + b"0" * 5_000 + b', "colour": "x", "demand": 1}}',
    b'{"features": {"price": 1e400, "colour": "x", "demand": 1}}',
    b'{"features": NaN}',
    b'{"prediction_id": "\\ud800", "label": "x"}',
    b'{"prediction_id": "p", "label": "x", "occurred_at": "0001-01-01T00:00:00+14:00"}',
    b'{"prediction_id": "p", "value": 1e400}',
    b'{"inputs": [{"name": "num", "shape": [1, 2], "datatype": "FP64", "data": ' + DEEP + b"}]}",
    b'{"inputs": [{"name": "\\ud800", "shape": [1], "datatype": "FP64", "data": [1]}]}',
    b'{"inputs": [{"name": "num", "shape": [99999999999999999999, 1], "datatype": "FP64", "data": [1]}]}',
    b'{"inputs": [], "id": 7}',
    b'{"text": "\\ud800"}',
    b'{"text": "x", "parameters": ' + DEEP,
    b"\xff\xfe",
    b"",
]
PATHS = ["/v1/predict/elec", "/v1/feedback", "/v1/generate/elec", "/v2/models/elec/infer"]


@pytest.mark.parametrize("path", PATHS)
async def test_every_hostile_body_gets_an_answer_that_blames_the_caller(world: World, path: str) -> None:
    await world.serve()
    for body in HOSTILE:
        answer = await world.call("POST", path, body)
        assert 400 <= answer.status < 500, (body[:60], answer)
        assert answer.body["detail"], body[:60]
    assert world.logged() == []


@pytest.mark.parametrize("path", PATHS)
async def test_a_compressed_body_is_refused_by_its_encoding(world: World, path: str) -> None:
    await world.serve()
    answer = await world.call("POST", path, b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert (answer.status, answer.body["code"]) == (415, "unsupported_encoding"), answer
    assert "gzip" in answer.body["detail"]
