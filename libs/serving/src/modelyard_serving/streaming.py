"""The generate extension over HTTP: a whole answer, or server-sent events until the end or until the caller leaves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

import msgspec

from modelyard_contracts.inference import InvalidRequest
from modelyard_contracts.inference.generate import GenerateEvent, GenerateRequest, decode_generate, encode_event
from modelyard_serving.errors import BadRequest, ServingError
from modelyard_serving.generation import Finished, Generation, Piece
from modelyard_serving.loading import LoadedModel
from modelyard_serving.requests import Receive, Send

EVENT_STREAM: Final = b"text/event-stream"
_ENCODE: Final = msgspec.json.Encoder().encode


class TextEndpoint:
    """Answers texts with one version."""

    def __init__(self, model: LoadedModel, generation: Generation) -> None:
        self._model, self._generation = model, generation

    async def generate(self, body: bytes, timeout_s: float) -> bytes:
        """The whole answer's body."""
        request = _decode(body)
        text, end = "", None
        async for piece in self._generation.stream(request, timeout_s):
            if isinstance(piece, Finished):
                end = piece
            else:
                text += piece
        return _ENCODE(self._event(request, text, end))

    async def stream(
        self, body: bytes, timeout_s: float, receive: Receive, send: Send, headers: list[tuple[bytes, bytes]]
    ) -> None:
        """Send events. Errors before the first piece are raised; later errors become an event, and the stream ends."""
        request = _decode(body)
        async with aclosing(self._generation.stream(request, timeout_s)) as pieces:
            first = await anext(pieces)
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            sending = asyncio.ensure_future(self._send_all(request, first, pieces, send))
            leaving = asyncio.ensure_future(_disconnect(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, leaving):
                    task.cancel()
                await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send_all(self, request: GenerateRequest, first: Piece, pieces: AsyncIterator[Piece], send: Send) -> None:
        await self._send(send, request, first)
        try:
            async for piece in pieces:
                await self._send(send, request, piece)
        except ServingError as error:
            data = _ENCODE({"error": str(error), "code": error.code})
            await send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, request: GenerateRequest, piece: Piece) -> None:
        end = piece if isinstance(piece, Finished) else None
        event = self._event(request, "" if isinstance(piece, Finished) else piece, end)
        await send({"type": "http.response.body", "body": encode_event(event), "more_body": True})

    def _event(self, request: GenerateRequest, text: str, end: Finished | None) -> GenerateEvent:
        event = GenerateEvent(self._model.name, self._model.version, text, id=request.id)
        if end is not None:
            event.finish_reason, event.usage = end.finish_reason, end.usage
            event.parameters = {"digest": self._model.digest}
        return event


def _decode(body: bytes) -> GenerateRequest:
    try:
        return decode_generate(body)
    except InvalidRequest as error:
        raise BadRequest(str(error), field=error.field) from error


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
