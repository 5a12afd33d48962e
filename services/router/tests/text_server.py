"""A small model server that streams text, and misbehaves on demand."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from modelyard_contracts.inference.generate import GenerateEvent, Usage, encode_event

from .replica import DIGEST_1


@dataclass
class TextBehaviour:
    """end: `whole`; `cut` closes in the middle; `error` reports one; `stall` sends nothing more; `silent` ends without
    a finish reason.
    """

    pieces: Sequence[str] = ("Hello", ", ", "world")
    end: str = "whole"
    status: int = 200
    refusal: bytes = b"no"
    """Body of an answer with another status."""
    digest: str = DIGEST_1
    delay_s: float = 0.0
    """Before the first piece."""
    pause_s: float = 0.0
    """Between pieces."""
    requests: list[dict[str, Any]] = field(default_factory=list)
    aborted: int = 0
    """Connections that the other side closed before the end."""


class TextServer:
    """Use as a context manager within a running loop."""

    def __init__(self, behaviour: TextBehaviour, tls: ssl.SSLContext | None = None) -> None:
        self.behaviour, self._tls = behaviour, tls
        self.paths: list[str] = []

    async def __aenter__(self) -> "TextServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"https://localhost:{port}" if self._tls else f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            self.behaviour.requests.append(msgspec.json.decode(await reader.readexactly(length)))
            self.paths.append(head.split(" ")[1])
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.behaviour.aborted += 1
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        given = self.behaviour
        head = f"HTTP/1.1 {given.status} X\r\nx-modelyard-digest: {given.digest}\r\n"
        if given.status != 200:
            writer.write(f"{head}content-length: {len(given.refusal)}\r\n\r\n".encode() + given.refusal)
            await writer.drain()
            return
        await asyncio.sleep(given.delay_s)  # sleep: the pace of the answer
        writer.write(f"{head}content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        for piece in given.pieces:
            await _send(writer, GenerateEvent("m", "1", piece))
            await asyncio.sleep(given.pause_s)  # sleep: the pace of the answer
        if given.end == "cut":
            writer.transport.abort()
        elif given.end == "error":
            data = b'data: {"error": "connection openai: it broke", "code": "provider_failed"}\n\n'
            writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
            await writer.drain()
        elif given.end == "stall":
            await reader.read()  # until the router gives up
            given.aborted += 1
        else:
            if given.end == "whole":
                await _send(writer, GenerateEvent("m", "1", "", finish_reason="stop", usage=Usage(3, 7)))
            writer.write(b"0\r\n\r\n")
            await writer.drain()


async def _send(writer: asyncio.StreamWriter, event: GenerateEvent) -> None:
    data = encode_event(event)
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
    await writer.drain()
