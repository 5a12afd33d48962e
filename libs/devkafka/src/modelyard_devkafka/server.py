"""The network side: frames in, one request at a time per connection, frames out."""

from __future__ import annotations

import asyncio
import errno
import inspect
import ipaddress
import logging
import struct
from typing import Any, Final, cast

from modelyard_devkafka.broker import Broker
from modelyard_devkafka.errors import AddressUnusable, Code, StorageFailed
from modelyard_devkafka.faults import Fault, When
from modelyard_devkafka.handlers.call import Call
from modelyard_devkafka.handlers.table import TABLE, offered
from modelyard_devkafka.wire.admin_apis import API_VERSIONS
from modelyard_devkafka.wire.api import Api
from modelyard_devkafka.wire.data_apis import PRODUCE
from modelyard_devkafka.wire.primitives import MalformedMessage, text
from modelyard_devkafka.wire.schema import Message

log = logging.getLogger(__name__)
_MAX_REQUEST_BYTES: Final = 100 * 1024 * 1024  # socket.request.max.bytes
_READ_BUFFER_BYTES: Final = 1024 * 1024
FRAME_TIMEOUT_S: Final = 30.0
"""Time from the first byte of a request to its last; between requests a connection may be idle."""
_SIZE: Final = struct.Struct(">i")
_HEADER: Final = struct.Struct(">hhi")
_read_text, _ = text(flexible=False)
_STORAGE_CODES: Final = {0: Code.KAFKA_STORAGE_ERROR}  # other APIs: coordinator not available, which clients retry


class Server:
    """Listens on the loopback interface. `start` raises AddressUnusable."""

    def __init__(self, broker: Broker, frame_timeout_s: float = FRAME_TIMEOUT_S) -> None:
        self._broker, self._frame_timeout_s = broker, frame_timeout_s
        self._connections: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        if not _is_loopback(host):
            raise AddressUnusable(f"host {host}: this broker has no access control and listens on loopback only")
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=_READ_BUFFER_BYTES)
        except OSError as problem:
            why = "is in use: choose another one or 0" if problem.errno == errno.EADDRINUSE else str(problem)
            raise AddressUnusable(f"port {port} on {host} {why}") from problem
        self._broker.host = host
        self._broker.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast(asyncio.Task[Any], asyncio.current_task())
        self._connections.add(task)
        try:
            peer = writer.get_extra_info("peername")
            await self._requests(reader, writer, f"/{peer[0]}" if peer else "")
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except MalformedMessage as problem:
            log.warning("connection closed: %s", problem)
        except Exception:
            log.exception("connection closed")
        finally:
            self._connections.discard(task)
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        while True:
            reply = await self._answer(memoryview(await self._frame(reader)), host)
            if reply is None:
                return
            if reply:
                writer.writelines([_SIZE.pack(sum(map(len, reply))), *reply])
                await writer.drain()

    async def _frame(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request. Raises MalformedMessage for an impossible size, and if it does not arrive in time."""
        first = await reader.readexactly(1)
        try:
            async with asyncio.timeout(self._frame_timeout_s):
                (size,) = _SIZE.unpack(first + await reader.readexactly(3))
                if not _HEADER.size <= size <= _MAX_REQUEST_BYTES:
                    raise MalformedMessage(f"a request of {size} bytes")
                return await reader.readexactly(size)
        except TimeoutError as late:
            raise MalformedMessage(f"a request did not arrive within {self._frame_timeout_s:g} s") from late

    async def _answer(self, frame: memoryview, host: str) -> list[bytes] | None:
        """Return the response's chunks: empty for a request without response, None to close the connection."""
        key, version, correlation = _HEADER.unpack_from(frame)
        client_id, at = _read_text(frame, _HEADER.size)
        head = _SIZE.pack(correlation)
        api, handler = TABLE.get(key, (None, None))
        if api is None or handler is None:
            raise MalformedMessage(f"API {key} is not offered")
        if not api.first <= version <= api.last:
            if api is API_VERSIONS:  # KIP-511: version 0 of the response lists the supported versions
                return [head, *api.writes(0).encode(offered(Code.UNSUPPORTED_VERSION))]
            raise MalformedMessage(f"{api.name} is not offered in version {version}")
        if api.flexible(version):
            at = _skip_header_tags(frame, at)
            if api is not API_VERSIONS:  # readable by clients that do not know the version
                head += b"\0"
        request = api.reads(version).decode(frame[at:])
        reply = await self._handle(api, Call(self._broker, version, client_id or "", host), request)
        if reply is None:
            return None
        silent = api is PRODUCE and request["acks"] == 0
        return [] if silent else [head, *api.writes(version).encode(reply)]

    async def _handle(self, api: Api, call: Call, request: Message) -> Message | None:
        fault = self._broker.faults.take(api.key)
        if fault is not None:
            await asyncio.sleep(fault.seconds)
            if fault.when is When.DROP_BEFORE:
                return None
            if fault.when is When.ERROR:
                return api.refusal(request, fault.code)
        try:
            answer = TABLE[api.key][1](call, request)
            reply = await answer if inspect.isawaitable(answer) else answer
        except StorageFailed as problem:
            log.error("%s not done: %s", api.name, problem)  # noqa: TRY400 - one line says it all
            reply = api.refusal(request, _STORAGE_CODES.get(api.key, Code.NOT_COORDINATOR))
        return None if _loses_reply(fault) else reply


def _loses_reply(fault: Fault | None) -> bool:
    return fault is not None and fault.when is When.DROP_AFTER


def _skip_header_tags(frame: memoryview, at: int) -> int:
    if frame[at]:
        raise MalformedMessage("tagged fields in a request header")
    return at + 1


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
