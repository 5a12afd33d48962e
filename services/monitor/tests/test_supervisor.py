"""The detect worker's output is read to its end, whatever is in it."""

import asyncio

import pytest

from modelyard_monitor.detect.supervisor import DetectProcess
from modelyard_runtime.health import Readiness


def starting() -> Readiness:
    readiness = Readiness()
    readiness.set("detect", False, "starting")
    return readiness


async def drained(readiness: Readiness, *pieces: bytes) -> asyncio.StreamReader:
    output = asyncio.StreamReader()  # with asyncio's limit of a line, 64 KiB
    for piece in pieces:
        output.feed_data(piece)
    output.feed_eof()
    await DetectProcess(readiness).drain(output)
    return output


async def test_a_line_longer_than_any_buffer_is_read_and_what_follows_it_too() -> None:
    readiness = starting()
    output = await drained(readiness, b"x" * 300_000, b"ready as part of it\n", b"ready monitor.detect\n")
    assert readiness.ready
    assert output.at_eof()


@pytest.mark.parametrize(
    "pieces", [(b"ready",), (b"not ready\n",), (b"x" * 65_536, b"ready\n"), (b"already\n", b"get ready\n")]
)
async def test_only_a_whole_line_sets_readiness(pieces: tuple[bytes, ...]) -> None:
    readiness = starting()
    await drained(readiness, *pieces)
    assert not readiness.ready


async def test_the_line_may_come_in_pieces() -> None:
    class Slow:
        def __init__(self) -> None:
            self.pieces = [b"a warning\nre", b"ady moni", b"tor.detect\n", b""]

        async def read(self, _: int) -> bytes:
            return self.pieces.pop(0)

    readiness = starting()
    await DetectProcess(readiness).drain(Slow())  # type: ignore[arg-type]
    assert readiness.ready


async def test_a_worker_that_died_is_not_ready_until_its_replacement_is() -> None:
    readiness = starting()
    await drained(readiness, b"ready monitor.detect\n", b"\nended with code -9\n")
    assert not readiness.ready
    assert "ended with code -9" in str(readiness.as_dict())
    await drained(readiness, b"ready monitor.detect\n")
    assert readiness.ready
