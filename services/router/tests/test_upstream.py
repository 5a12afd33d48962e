"""Connections to replicas: TLS, waiters of a full pool, and deadlines shorter than a connect."""

import asyncio
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from modelyard_devstack.testing import free_port
from modelyard_router.domain.upstreams import CallFailed, CallTimedOut
from modelyard_router.upstream.pool import Pool, PoolLimits

from .conftest import ROW, Make
from .plans import TEXT, leaf, planned
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
    pool = Pool("127.0.0.1", free_port(), PoolLimits(max_connections=8))
    began = time.monotonic()
    outcomes = await asyncio.gather(*(outcome(pool, 20.0) for _ in range(300)))
    assert set(outcomes) == {"connect"}
    assert time.monotonic() - began < 10


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
