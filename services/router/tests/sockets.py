"""The router on a real socket, with uvicorn's protocol and the fast path in front of it."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import httptools
import uvicorn
from uvicorn.server import ServerState

from modelyard_router.app import RouterApp
from modelyard_router.domain.errors import Unauthenticated
from modelyard_router.domain.upstreams import CallFailed
from modelyard_router.fastpath.protocol import FastPathProtocol, protocol_of
from modelyard_runtime.errors import Unavailable


class SocketServer:
    """`fast_requests` counts the requests that the fast path took."""

    def __init__(self, app: RouterApp, keep_alive_s: int = 5) -> None:
        self.app, self.fast_requests = app, 0
        self.protocols: list[FastPathProtocol] = []
        self._config = uvicorn.Config(
            app, http=protocol_of(lambda: app.fast_path), loop="none", log_config=None, timeout_keep_alive=keep_alive_s
        )
        self._config.load()
        self.state = ServerState()

    async def open(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._protocol, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        fast_path: Any = self.app.fast_path
        if fast_path is not None:
            take = fast_path.take

            def counted(client: Any, data: bytes) -> bool:
                taken: bool = take(client, data)
                self.fast_requests += taken
                return taken

            fast_path.take = counted

    def _protocol(self) -> Any:
        made: Any = self._config.http_protocol_class
        self.protocols.append(made(config=self._config, server_state=self.state, app_state={}))
        return self.protocols[-1]

    async def warm(self, authorization: str = "") -> None:
        """Cache the key, and give every replica an idle connection."""
        with contextlib.suppress(Unauthenticated, Unavailable):
            await self.app.keys.check(authorization.encode())
        loop = asyncio.get_running_loop()
        for route in self.app.tables.routes.values():
            for address in {address for leaf in route.leaves for address in leaf.addresses}:
                pool = self.app.replicas.pool(address)
                with contextlib.suppress(CallFailed):
                    await pool.warm(loop.time() + 5)

    async def call(
        self, method: str, path: str, headers: dict[str, str], pieces: Sequence[bytes]
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own; more than one piece, or no content-length: chunked."""
        await self.warm(headers.get("authorization", ""))
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw_request(method, path, headers, pieces))
            return await read_answer(reader)
        finally:
            writer.close()

    async def close(self) -> None:
        self._server.close()
        for protocol in self.protocols:
            if protocol.transport is not None:
                protocol.transport.abort()
        await asyncio.sleep(0)


def raw_request(method: str, path: str, headers: dict[str, str], pieces: Sequence[bytes]) -> bytes:
    body = b"".join(pieces)
    if "content-length" not in headers:
        headers = {**headers, "transfer-encoding": "chunked"}
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    lines = [f"{method} {path} HTTP/1.1", "host: x", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body) of the next answer."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    fields: dict[str, str] = {}

    class Seen:
        def on_header(self, name: bytes, value: bytes) -> None:
            assert name.decode() not in fields, f"{name!r} twice"
            fields[name.decode()] = value.decode()

    parser = httptools.HttpResponseParser(Seen())
    parser.feed_data(head)
    return parser.get_status_code(), fields, await reader.readexactly(int(fields["content-length"]))
