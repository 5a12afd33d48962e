"""The guard of every package's tests: without the `server` mark no connection leaves this process."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from modelyard_devstack.testing.network import NetworkTouched, network_blocked

pytest_plugins = ["pytester"]

TESTS = """
import contextlib, socket, pytest

def test_touches():
    with contextlib.suppress(Exception, AssertionError):
        socket.create_connection(("127.0.0.1", 1), timeout=1)

@pytest.mark.server
def test_marked():
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 1), timeout=1)

def test_asks(loopback):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 1), timeout=1)

def test_does_not():
    pass
"""


@pytest.mark.process
def test_a_test_that_touches_the_network_unasked_fails_even_if_the_error_was_swallowed(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest('pytest_plugins = ["modelyard_devstack.testing.plugin"]')
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["*touched the network without the `server` mark: 127.0.0.1:1*"])


@pytest.mark.process
def test_a_missing_server_skips_and_fails_where_it_was_promised(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytester.makeconftest('pytest_plugins = ["modelyard_devstack.testing.plugin"]')
    pytester.makepyfile("import pytest\n@pytest.mark.server\ndef test_it(postgres_url):\n    pass\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("REQUIRE_SERVERS", raising=False)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(skipped=1)
    monkeypatch.setenv("REQUIRE_SERVERS", "1")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(errors=1)


async def test_a_stub_server_in_the_test_is_no_outside_server() -> None:
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    server.close()


def test_the_block_ends_with_its_block() -> None:
    with network_blocked() as refused, contextlib.suppress(NetworkTouched):
        socket.create_connection(("192.0.2.1", 9), timeout=1)
    assert refused == ["192.0.2.1:9"]
