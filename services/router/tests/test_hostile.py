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
