"""Responses: from the engine's pipe to the client, without losing an error.

The first MiB is held back, so an early error still has its own status; a later one ends the body with the tagged
exception block and closes the connection without the last chunk.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any, Final

from modelyard_devclickhouse.blocks import BlockEncoder
from modelyard_devclickhouse.bodies import Encoder, encoder
from modelyard_devclickhouse.engine import Answer
from modelyard_devclickhouse.errors import ClickHouseError, exception_block

Send = Callable[[dict[str, Any]], Awaitable[None]]
HOLD_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 20
_LAST_WORDS_S: Final = 0.1
_F_SETPIPE_SZ: Final = 1031
_FD_FOLDER: Final = "/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd"


_PLAIN_STATUSES: Final = (401, 403)
"""The server sends these errors without blocks, and clients do not expect blocks there."""


class _Nested:
    """An Encoder within another one."""

    def __init__(self, inner: Encoder, outer: Encoder) -> None:
        self._inner, self._outer = inner, outer

    def feed(self, data: bytes) -> bytes:
        return self._outer.feed(self._inner.feed(data))

    def end(self) -> bytes:
        return self._outer.feed(self._inner.end()) + self._outer.end()


class Pipe:
    """The engine writes to `path`, the event loop reads. Closing the reading end stops the query."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        with contextlib.suppress(OSError):  # a smaller pipe works, but is slower
            fcntl.fcntl(self._write, _F_SETPIPE_SZ, _READ_BYTES)
        self.path = f"{_FD_FOLDER}/{self._write}"

    async def read(self) -> bytes:
        """Return the next bytes; b"" once the writer has finished."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return os.read(self._read, _READ_BYTES)
            except BlockingIOError:
                ready: asyncio.Future[None] = loop.create_future()
                loop.add_reader(self._read, lambda f=ready: f.done() or f.set_result(None))  # type: ignore[misc]
                try:
                    await ready
                finally:
                    loop.remove_reader(self._read)

    def close_write(self) -> None:
        os.close(self._write)

    def close_read(self) -> None:
        os.close(self._read)


class Response:
    """One response to one client."""

    def __init__(
        self, send: Send, *, version: str, headers: dict[str, str], encoding: str, block_method: int | None = None
    ) -> None:
        """encoding: of HTTP, '' for none. block_method: of ClickHouse's own blocks within it, None for none."""
        self._send, self._version, self._headers, self._encoding = send, version, headers, encoding
        self._block_method = block_method
        self._tag = secrets.token_hex(8)
        self._encoder: Encoder | None = None

    @property
    def started(self) -> bool:
        return self._encoder is not None

    def describe(self, format: str, content_type: str | None) -> None:
        """Set the result's format; only for statements with a result."""
        self._headers["X-ClickHouse-Format"] = format
        self._headers["Content-Type"] = content_type or "application/octet-stream"

    def summarise(self, answer: Answer, result_bytes: int) -> None:
        numbers = {
            "read_rows": answer.read_rows,
            "read_bytes": answer.read_bytes,
            "written_rows": answer.written_rows,
            "written_bytes": answer.written_bytes,
            "total_rows_to_read": answer.read_rows,
            "result_rows": answer.result_rows,
            "result_bytes": result_bytes,
            "elapsed_ns": int(answer.elapsed_s * 1e9),
        }
        self._headers["X-ClickHouse-Summary"] = json.dumps({k: str(v) for k, v in numbers.items()})

    async def start(self, status: int = 200, length: int | None = None) -> None:
        if status in _PLAIN_STATUSES:
            self._block_method = None
        headers = {**self._headers, "X-ClickHouse-Exception-Tag": self._tag}
        if self._encoding:
            headers["Content-Encoding"] = self._encoding
        elif length is not None and self._block_method is None:
            headers["Content-Length"] = str(length)
        self._encoder = encoder(self._encoding)
        if self._block_method is not None:
            self._encoder = _Nested(BlockEncoder(self._block_method), self._encoder)
        raw = [(key.encode(), value.encode()) for key, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes) -> None:
        assert self._encoder is not None  # noqa: S101 - start() comes first
        encode = self._encoder.feed
        small = len(data) < 1 << 16 or not (self._encoding or self._block_method is not None)
        body = encode(data) if small else await asyncio.to_thread(encode, data)
        if body:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self) -> None:
        assert self._encoder is not None  # noqa: S101 - start() comes first
        await self._send({"type": "http.response.body", "body": self._encoder.end(), "more_body": False})

    async def whole(self, data: bytes, status: int = 200) -> None:
        if not data:
            self._encoding = ""
        await self.start(status, len(data))
        if data:
            await self.write(data)
        await self.finish()

    async def fail(self, error: ClickHouseError) -> None:
        """Send the error with its status or, once the body has started, abort the body so that clients notice."""
        if not self.started:
            self._headers.pop("X-ClickHouse-Format", None)
            self._headers["X-ClickHouse-Exception-Code"] = str(error.code)
            self._headers["Content-Type"] = "text/plain; charset=UTF-8"
            await self.whole(error.message(self._version).encode() + b"\n", error.status)
            return
        assert self._encoder is not None  # noqa: S101 - started
        block = self._encoder.feed(exception_block(error, self._tag, self._version)) + self._encoder.end()
        await self._send({"type": "http.response.body", "body": block, "more_body": True})
        # The connection closes when the caller returns. Some clients (aiohttp) discard unread data then.
        await asyncio.sleep(_LAST_WORDS_S)


class Held:
    """Unsent output: the first MiB or, with wait_end_of_query, everything (on disk beyond 8 MiB)."""

    def __init__(self, response: Response, *, until_end: bool, folder: Path) -> None:
        self._response, self._until_end = response, until_end
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(8 << 20, dir=str(folder))  # noqa: SIM115 - closed in close()
        self.size = 0

    async def add(self, data: bytes) -> None:
        if self._response.started:
            await self._response.write(data)
            return
        self._file.write(data)
        self.size += len(data)
        if self.size >= HOLD_BYTES and not self._until_end:
            await self._response.start()
            await self._release()

    async def end(self) -> None:
        if not self._response.started:
            await self._response.start(length=self.size)
            await self._release()
        await self._response.finish()

    async def _release(self) -> None:
        self._file.seek(0)
        while data := self._file.read(_READ_BYTES):
            await self._response.write(data)
        self.close()

    def close(self) -> None:
        self._file.close()
