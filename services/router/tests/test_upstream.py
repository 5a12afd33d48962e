"""Connections to replicas: TLS, waiters of a full pool, and deadlines shorter than a connect."""

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard_contracts import PredictionStatus
from modelyard_devstack.testing import eventually, free_port
from modelyard_router.domain.upstreams import CallFailed, CallTimedOut
from modelyard_router.upstream.pool import Pool, PoolLimits

from .conftest import ROW, Make
from .plans import TEXT, fallback, leaf, planned, split
from .replica import DIGEST_1, infer_answer
from .text_server import TextBehaviour, TextServer

REQUEST = b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
ROW_REQUEST = {"inputs": [{"name": "num", "shape": [1, 2], "data": [0.75, 3]}]}


def soon(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def outcome(pool: Pool, seconds: float) -> str:
    try:
        await pool.call(REQUEST, soon(seconds))
    except CallFailed as error:
        return error.reason
    return "answered"


async def test_many_calls_at_once_to_a_dead_port_fail_at_once_and_none_waits_for_its_deadline() -> None:
    pool = Pool("127.0.0.1", free_port(), PoolLimits(max_connections=8, connect_timeout_s=60))
    began = time.monotonic()
    outcomes = await asyncio.gather(*(outcome(pool, 60.0) for _ in range(300)))
    assert set(outcomes) == {"connect"}
    assert time.monotonic() - began < 30


async def test_a_cancelled_wait_passes_its_turn_on(loopback: None) -> None:
    answering = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            await answering.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pool = Pool("127.0.0.1", server.sockets[0].getsockname()[1], PoolLimits(max_connections=1, connect_timeout_s=20))
    calls = [asyncio.create_task(outcome(pool, 20.0)) for _ in range(3)]
    await asyncio.sleep(0.05)  # sleep: lets the calls queue up; the test holds without it
    calls[1].cancel()
    answering.set()
    async with asyncio.timeout(10):
        assert [await calls[0], await calls[2]] == ["answered", "answered"]
    pool.close()
    server.close()


async def test_a_deadline_shorter_than_a_connect_is_a_timeout_and_does_not_mark_the_replica() -> None:
    pool = Pool("127.0.0.1", free_port(), PoolLimits())
    with pytest.raises(CallTimedOut):
        await pool.call(REQUEST, soon(-0.1))
    assert not pool.avoided


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost that signs itself, and the server's context."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context


async def serve_tls(context: ssl.SSLContext) -> tuple[asyncio.Server, str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        body = infer_answer(ROW_REQUEST, DIGEST_1)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    return server, f"https://localhost:{server.sockets[0].getsockname()[1]}"


async def test_a_replica_with_tls_answers_once_its_authority_is_set(
    make_world: Make, authority: tuple[Path, ssl.SSLContext]
) -> None:
    certificate, context = authority
    server, url = await serve_tls(context)
    trusting = await make_world(upstream_ca_file=certificate)
    trusting.publish(planned(leaf(url)))
    answer = await trusting.predict(ROW)
    assert (answer.status, answer.body["class"]) == (200, "up"), answer
    server.close()


async def test_a_replica_whose_certificate_is_not_trusted_gets_no_request(
    make_world: Make, authority: tuple[Path, ssl.SSLContext]
) -> None:
    server, url = await serve_tls(authority[1])
    world = await make_world()
    world.publish(planned(leaf(url)))
    answer = await world.predict(ROW)
    assert (answer.status, answer.body["code"]) == (503, "upstream_unavailable")
    assert "tls" in answer.body["detail"]
    server.close()


async def test_a_stream_over_tls(make_world: Make, authority: tuple[Path, ssl.SSLContext]) -> None:
    certificate, context = authority
    world = await make_world(upstream_ca_file=certificate)
    async with TextServer(TextBehaviour(), context) as server:
        world.publish(planned(leaf(server.url, signature=TEXT), signatures=(TEXT,)))
        answer = await world.call("POST", "/v1/generate/elec", {"text": "hi"})
    assert (answer.status, answer.body["text"]) == (200, "Hello, world"), answer


@pytest.fixture
def unreachable() -> Iterator[str]:
    """A URL whose host never answers a connection: its queue of connections is full."""
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_replica_that_accepts_no_connection_leaves_time_for_the_next_one(
    make_world: Make, unreachable: str
) -> None:
    world = await make_world(connect_timeout_ms=60_000)
    replica = await world.replica()
    world.publish(planned(leaf(unreachable, replica.url), timeout_ms=3_000))
    answers = [await world.predict(ROW) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert {len(one.attempts) for one in world.logged()} == {1, 2}


async def test_a_version_that_cannot_be_reached_in_time_is_replaced_by_another_arm(
    make_world: Make, unreachable: str
) -> None:
    world = await make_world(connect_timeout_ms=60_000)
    replica = await world.replica()
    arms = [("canary", 1.0, leaf(unreachable, variant="canary")), ("stable", 0.0, leaf(replica.url))]
    world.publish(planned(split(*arms), timeout_ms=3_000))
    answer = await world.predict(ROW)
    assert (answer.status, answer.headers["x-modelyard-variant"]) == (200, "stable")
    assert answer.headers["x-modelyard-rule"] == "fallback:canary:connect_timeout"


async def test_a_fallback_follows_a_time_limit_that_ended_before_a_byte_was_sent(
    make_world: Make, unreachable: str
) -> None:
    world = await make_world(connect_timeout_ms=60_000)
    replica = await world.replica()
    first = {**leaf(unreachable), "timeout_ms": 300}
    world.publish(planned(fallback(first, leaf(replica.url, variant="spare"), on=["unavailable"]), timeout_ms=30_000))
    answer = await world.predict(ROW)
    assert (answer.status, answer.headers["x-modelyard-variant"]) == (200, "spare")


async def test_many_callers_of_a_host_that_never_answers_all_end_and_the_other_replica_serves_them(
    make_world: Make, unreachable: str
) -> None:
    world = await make_world(connect_timeout_ms=300, max_connections=4)
    replica = await world.replica()
    world.publish(planned(leaf(unreachable, replica.url), timeout_ms=30_000))
    async with asyncio.timeout(25):
        answers = await asyncio.gather(*(world.predict(ROW) for _ in range(100)))
    assert {answer.status for answer in answers} == {200}


async def test_a_callers_deadline_shorter_than_a_connect_is_504_and_no_evidence(
    make_world: Make, unreachable: str
) -> None:
    world = await make_world(connect_timeout_ms=60_000)
    world.publish(planned(leaf(unreachable), timeout_ms=30_000))
    body = json.dumps({"features": ROW}).encode()
    answer = await world.call("POST", "/v1/predict/elec", body, headers={"x-modelyard-timeout-ms": "150"})
    assert (answer.status, answer.body["code"]) == (504, "caller_deadline")
    assert [one.status for one in world.logged()] == [PredictionStatus.REJECTED]


async def test_waiters_of_a_full_pool_end_by_their_own_deadlines_and_leave_it_usable(
    make_world: Make, loopback: None
) -> None:
    release = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                await release.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pool = Pool("127.0.0.1", server.sockets[0].getsockname()[1], PoolLimits(max_connections=1, connect_timeout_s=60))
    holding = asyncio.create_task(outcome(pool, 60.0))
    await eventually(lambda: pool.in_flight == 1)
    hasty = [asyncio.create_task(outcome(pool, 0.1)) for _ in range(20)]
    assert {await one for one in hasty} == {"timeout"}
    assert not pool.avoided
    patient = [asyncio.create_task(outcome(pool, 60.0)) for _ in range(20)]
    for one in patient[::2]:
        one.cancel()
    release.set()
    async with asyncio.timeout(30):
        assert {await one for one in (holding, *patient[1::2])} == {"answered"}
    pool.close()
    server.close()
