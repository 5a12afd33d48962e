"""The fast path: which requests it takes, and how one connection alternates between it and the ordinary path."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelyard_contracts import PredictionStatus
from modelyard_devstack.testing import eventually
from modelyard_router.clients.keys import fingerprint
from modelyard_router.fastpath.heads import MAX_HEADS, Heads
from modelyard_router.upstream.connection import Connection

from .conftest import KEY, ROW, Make, World, table, target
from .replica import Behaviour
from .sockets import SocketServer, raw_request, read_answer

BODY = json.dumps({"features": ROW}).encode()
UNFINISHED = b"POST /v1/feedback HTTP/1.1\r\nx-note: "
AUTHORIZED = {"authorization": f"Bearer {KEY}"}


def request(body: bytes = BODY, path: str = "/v1/predict/elec", **headers: str) -> bytes:
    given = {**AUTHORIZED, "content-length": str(len(body)), **headers}
    return raw_request("POST", path, given, [body])


@pytest.fixture
def transport() -> str:
    return "socket"


class Caller:
    """One connection to the router."""

    def __init__(self, server: SocketServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self.writer = server, reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        status, headers, body = await read_answer(self.reader)
        return status, headers, json.loads(body)


@pytest.fixture
async def caller(world: World) -> AsyncIterator[Caller]:
    """To a router with one replica, warm."""
    await world.serve()
    assert world.server is not None
    await world.server.warm(AUTHORIZED["authorization"])
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    yield Caller(world.server, reader, writer)
    writer.close()


async def test_both_paths_answer_with_the_same_headers_and_fields(caller: Caller) -> None:
    caller.send(request())
    short = await caller.answer()
    assert caller.server.fast_requests == 1
    caller.send(raw_request("POST", "/v1/predict/elec", AUTHORIZED, [BODY[:5], BODY[5:]]))
    ordinary = await caller.answer()
    assert caller.server.fast_requests == 1
    assert (short[0], short[1].keys(), short[2].keys()) == (ordinary[0], ordinary[1].keys(), ordinary[2].keys())
    changing = {"x-modelyard-request-id", "x-modelyard-overhead-ms", "date"}
    assert {n: v for n, v in short[1].items() if n not in changing} == {
        n: v for n, v in ordinary[1].items() if n not in changing
    }


async def test_pipelined_requests_are_answered_in_order(caller: Caller, world: World) -> None:
    ids = [f"p-{i}" for i in range(6)]
    bodies = [json.dumps({"features": ROW, "prediction_id": id_}).encode() for id_ in ids]
    caller.send(request(bodies[0]))
    await asyncio.sleep(0.01)  # sleep: the first request arrives alone
    for body in bodies[1:]:
        caller.send(request(body))
        await asyncio.sleep(0)
    assert [(await caller.answer())[2]["prediction_id"] for _ in ids] == ids
    caller.send(request(bodies[0]) + raw_request("GET", "/health/live", {"content-length": "0"}, [b""]))
    assert (await caller.answer())[2]["prediction_id"] == "p-0"
    assert (await caller.answer())[2] == {"status": "ok"}
    assert len(world.logged()) == 7


@pytest.mark.parametrize("step", [1, 7, 100])
async def test_a_request_in_small_pieces_takes_the_ordinary_path_and_the_next_one_the_fast_path(
    caller: Caller, step: int
) -> None:
    data = request()
    for start in range(0, len(data), step):
        caller.send(data[start : start + step])
        await asyncio.sleep(0.001)  # sleep: the pieces arrive one by one
    assert (await caller.answer())[0] == 200
    assert caller.server.fast_requests == 0
    caller.send(request())
    assert (await caller.answer())[0] == 200
    assert caller.server.fast_requests == 1


@pytest.mark.parametrize("before", [request(request(), path="/v1/feedback")[: -len(request())], UNFINISHED])
async def test_bytes_inside_a_request_are_not_taken_for_a_request(caller: Caller, world: World, before: bytes) -> None:
    """As a body, and as the rest of a header's line."""
    caller.send(before)
    await asyncio.sleep(0.05)  # sleep: the bytes arrive before the next ones
    caller.send(request())
    status, _, problem = await caller.answer()
    assert (status, problem["code"], caller.server.fast_requests) == (422, "contract", 0)
    assert world.logged() == []


async def test_a_request_in_pieces_during_another_one_is_assembled(world: World) -> None:
    replica = await world.serve(Behaviour(delay_s=0.3))
    assert world.server is not None
    await world.server.warm(AUTHORIZED["authorization"])
    reader, writer = await asyncio.open_connection("127.0.0.1", world.server.port)
    data = request() + request()
    writer.write(request())
    await eventually(lambda: replica.behaviour.requests)
    writer.write(data[:300])
    await asyncio.sleep(0.02)  # sleep: the pieces arrive one by one
    writer.write(data[300:])
    assert [(await read_answer(reader))[0] for _ in range(3)] == [200, 200, 200]
    writer.close()


async def test_a_connection_that_the_replica_closed_is_replaced_without_counting_an_attempt(
    caller: Caller, world: World
) -> None:
    kept: Any = world.replicas[0].protocols[-1]
    kept.answer = lambda _: kept.transport.abort()  # as if it was closed a moment before the request came
    caller.send(request())
    status, headers, _ = await caller.answer()
    assert (status, headers["x-modelyard-attempts"], headers["x-modelyard-rule"]) == (200, "1", "all")
    assert (caller.server.fast_requests, len(world.logged())) == (1, 1)


async def test_a_failed_first_attempt_continues_on_the_ordinary_path_and_is_logged_once(world: World) -> None:
    bad, good = await world.replica(Behaviour(status=503)), await world.replica()
    world.publish(table(target(bad.url, good.url)))
    rules = []
    for _ in range(4):
        answer = await world.predict()
        assert answer.status == 200
        rules.append((answer.headers["x-modelyard-rule"], answer.headers["x-modelyard-attempts"]))
    assert set(rules) == {("all", "1"), ("fallback:stable:status_503", "2")}
    assert [(row.rule, str(len(row.attempts))) for row in world.logged()] == rules
    assert world.app.api.in_flight == 0
    assert world.server is not None and world.server.fast_requests == 4


async def test_the_request_of_a_caller_that_disconnects_is_logged(caller: Caller, world: World) -> None:
    behaviour = world.replicas[0].behaviour
    behaviour.delay_s = 0.1
    caller.send(request())
    await eventually(lambda: behaviour.requests)
    caller.writer.transport.abort()
    await eventually(lambda: not world.app.api.in_flight)
    assert [row.status for row in world.logged()] == [PredictionStatus.OK]


async def test_a_stopping_service_answers_the_request_in_flight_and_closes(caller: Caller, world: World) -> None:
    behaviour = world.replicas[0].behaviour
    behaviour.delay_s = 0.3
    caller.send(request())
    await eventually(lambda: behaviour.requests)
    for protocol in caller.server.state.connections:
        protocol.shutdown()
    status, headers, _ = await caller.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert await caller.reader.read() == b""
    assert not caller.server.state.connections


async def test_an_idle_connection_is_closed_and_a_used_one_is_not(world: World) -> None:
    await world.serve()
    server = SocketServer(world.app, keep_alive_s=1)
    await server.open()
    await server.warm(AUTHORIZED["authorization"])
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for _ in range(6):
        writer.write(request())
        assert (await read_answer(reader))[0] == 200
        await asyncio.sleep(0.3)  # sleep: the pace of the requests
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    await server.close()


async def test_with_fsync_there_is_no_fast_path(make_world: Make) -> None:
    world = await make_world(spool_fsync=True)
    await world.serve()
    assert (await world.predict()).status == 200
    assert world.app.fast_path is None


async def test_a_late_answer_is_not_taken_for_the_next_requests(world: World) -> None:
    """Only the first request is in a hurry: the second one has time, however busy the machine is."""
    await world.serve(Behaviour(delay_s=0.15))
    hurry = {"x-modelyard-timeout-ms": "50"}
    assert (await world.call("POST", "/v1/predict/elec", {"features": ROW}, headers=hurry)).status == 504
    world.replicas[0].behaviour.delay_s = 0
    await asyncio.sleep(0.2)  # sleep: the late answer arrives meanwhile
    body = {"features": {**ROW, "price": 0.25}}
    assert (await world.call("POST", "/v1/predict/elec", body)).body["class"] == "down"


async def test_deadlines_hold_on_a_connection_whose_timer_was_set_for_another(world: World) -> None:
    """The timer is set once and checks the deadline on expiry: a shorter one must not wait for a longer one."""
    replica = await world.serve(timeout_ms=5_000)
    assert (await world.predict()).status == 200
    replica.behaviour.delay_s = 30.0
    began = asyncio.get_running_loop().time()
    headers = {"x-modelyard-timeout-ms": "100"}
    answer = await world.call("POST", "/v1/predict/elec", {"features": ROW}, headers=headers)
    assert answer.status == 504
    assert 0.08 < asyncio.get_running_loop().time() - began < 4


def raw_head(*lines: str) -> bytes:
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /v1/predict/elec HTTP/1.1", "content-length: 2"),
        ("POST /v1/feedback HTTP/1.1", "content-length: 2"),
        ("POST /v1/predict/elec HTTP/1.0", "content-length: 2"),
        ("POST /v1/predict/elec?x=1 HTTP/1.1", "content-length: 2"),
        ("POST /v1/predict/el%65c HTTP/1.1", "content-length: 2"),
        ("POST /v1/predict/elec HTTP/1.1",),
        ("POST /v1/predict/elec HTTP/1.1", "content-length: +2"),
        ("POST /v1/predict/elec HTTP/1.1", "content-length: 2", "content-length: 2"),
        ("POST /v1/predict/elec HTTP/1.1", "content-length: 2", "content-length: 3"),
        ("POST /v1/predict/elec HTTP/1.1", "content-length: 2", "transfer-encoding: chunked"),
        ("POST /v1/predict/elec HTTP/1.1", "content-length: 2", "connection: close"),
        ("POST /v1/predict/elec HTTP/1.1", "content-length: 2", "expect: 100-continue"),
        ("POST /v1/predict/elec HTTP/1.1", "content-length: 2", "authorization: a", "authorization: b"),
        ("POST /v1/predict/elec HTTP/1.1", "content-length: 2", "x: " + "y" * 5_000),
        ("POST /v1/predict/elec HTTP/1.1", "content-length : 2"),
        ("POST /v1/predict/elec HTTP/1.1", " content-length: 2"),
    ],
)
def test_heads_that_are_not_a_simple_prediction_are_left_to_uvicorn(lines: tuple[str, ...]) -> None:
    heads = Heads()
    for _ in range(2):
        assert heads.get(raw_head(*lines)) is None


def test_heads_are_cached_within_a_bound_unless_they_change_with_every_request() -> None:
    heads = Heads()
    plain = raw_head("POST /v1/predict/elec HTTP/1.1", "authorization: k", "content-length: 12")
    head = heads.get(plain)
    assert head is not None and (head.path, head.key, head.length) == ("/v1/predict/elec", fingerprint(b"k"), 12)
    assert heads.get(plain) is head
    traced = raw_head("POST /v1/predict/elec HTTP/1.1", "content-length: 12", f"traceparent: {'0' * 55}")
    assert heads.get(traced) is not None and len(heads) == 1
    for i in range(3 * MAX_HEADS):
        assert heads.get(raw_head("POST /v1/predict/elec HTTP/1.1", f"x-request-id: {i}", "content-length: 1"))
    assert len(heads) <= MAX_HEADS


class _Pool:
    heads: dict[bytes, Any]

    def __init__(self) -> None:
        self.heads, self.freed = {}, 0

    def release(self, _: Connection) -> None:
        self.freed += 1

    def forget(self, _: Connection) -> None: ...


class _Transport:
    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 503 No\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    ],
)
async def test_an_answer_is_parsed_the_same_way_wherever_it_is_cut(answer: bytes) -> None:
    pool, answers = _Pool(), list[Any]()
    connection = Connection(pool, asyncio.get_running_loop())
    connection.connection_made(_Transport())
    pieces = [[answer], *([answer[:cut], answer[cut:]] for cut in range(1, len(answer))), [answer]]
    pieces.append([answer[i : i + 1] for i in range(len(answer))])
    for parts in pieces:
        connection.send(b"", asyncio.get_running_loop().time() + 10, answers.append)
        for part in parts:
            connection.data_received(part)
    status = 503 if b" 503 " in answer else 200
    assert [(reply.status, reply.body) for reply in answers] == [(status, b"hello")] * len(pieces)
    assert pool.freed == len(pieces)
    connection.connection_lost(None)
