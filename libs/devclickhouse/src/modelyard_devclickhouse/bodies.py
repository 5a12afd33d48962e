"""Decoding of request bodies and encoding of responses, as streams."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, Protocol

import lz4.frame
import zstandard

from modelyard_devclickhouse.errors import BadRequest, ClickHouseError

Receive = Callable[[], Awaitable[dict[str, Any]]]
_PIECE: Final = 1 << 20
_STEP: Final = 1 << 16  # compressed bytes per step, which bounds the decompressed size
try:
    _brotli: Any = importlib.import_module("brotli")
except ImportError:  # optional: without it, `br` is not offered
    _brotli = None


class ClientGone(ClickHouseError):
    """The client closed the connection before its request was complete."""

    def __init__(self) -> None:
        super().__init__(210, "NETWORK_ERROR", "the client closed the connection before its request was whole")


class Encoder(Protocol):
    def feed(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...


_DECODERS: Final[dict[str, Callable[[], Any]]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "deflate": lambda: zlib.decompressobj(wbits=15),
}


async def chunks(receive: Receive) -> AsyncIterator[bytes]:
    """Yield the request body as it arrives. Raises ClientGone if it ends early."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def decoded(body: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Decode Content-Encoding; clients send one frame per block, so decoding restarts after each frame."""
    if encoding in ("", "identity"):
        async for chunk in body:
            yield chunk
        return
    if encoding == "br" and _brotli:
        decoder = _BrotliDecoder()
        async for chunk in body:
            for piece in decoder.feed(chunk):
                yield piece
        decoder.end()
        return
    if encoding not in _DECODERS:
        raise BadRequest(f"Content-Encoding {encoding!r} is unknown: use lz4, zstd, gzip or none.")
    frames = _Frames(_DECODERS[encoding], encoding)
    async for chunk in body:
        for piece in frames.feed(chunk):
            yield piece
    frames.end()


class _BrotliDecoder:
    """One stream, decoded in pieces of bounded size."""

    def __init__(self) -> None:
        self._decoder = _brotli.Decompressor()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        try:
            piece = self._decoder.process(chunk, output_buffer_limit=_PIECE)
            while piece or not self._decoder.can_accept_more_data():
                yield piece
                piece = self._decoder.process(b"", output_buffer_limit=_PIECE)
        except _brotli.error as error:
            raise BadRequest(f"the body is not valid brotli: {error}") from error

    def end(self) -> None:
        if not self._decoder.is_finished():
            raise BadRequest("the brotli body is cut off")


class _Frames:
    def __init__(self, make: Callable[[], Any], encoding: str) -> None:
        self._make, self._encoding = make, encoding
        self._decoder: Any = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        for start in range(0, len(chunk), _STEP):
            data = chunk[start : start + _STEP]
            while data:
                self._decoder = self._decoder or self._make()
                try:
                    piece = self._decoder.decompress(data)
                except Exception as error:
                    raise BadRequest(f"the body is not valid {self._encoding}: {error}") from error
                data = self._decoder.unused_data if self._decoder.eof else b""
                if self._decoder.eof:
                    self._decoder = None
                if piece:
                    yield piece

    def end(self) -> None:
        if self._decoder is not None:
            raise BadRequest(f"the {self._encoding} body is cut off in the middle of a frame")


class _Plain:
    def feed(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class _Lz4:
    def __init__(self) -> None:
        # Independent blocks of 1 MiB: linked blocks slow some clients' decoders down four times.
        self._frame = lz4.frame.LZ4FrameCompressor(block_size=lz4.frame.BLOCKSIZE_MAX1MB, block_linked=False)
        self._head = self._frame.begin()

    def feed(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._frame.compress(data))

    def end(self) -> bytes:
        head, self._head = self._head, b""
        return bytes(head + self._frame.flush())


class _Object:
    def __init__(self, compressor: Any) -> None:
        self._compressor = compressor

    def feed(self, data: bytes) -> bytes:
        return bytes(self._compressor.compress(data))

    def end(self) -> bytes:
        return bytes(self._compressor.flush())


class _Brotli:
    def __init__(self) -> None:
        self._compressor = _brotli.Compressor(quality=1)

    def feed(self, data: bytes) -> bytes:
        return bytes(self._compressor.process(data))

    def end(self) -> bytes:
        return bytes(self._compressor.finish())


_ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {
    "zstd": lambda: _Object(zstandard.ZstdCompressor(level=1).compressobj()),
    "lz4": _Lz4,
    "gzip": lambda: _Object(zlib.compressobj(1, wbits=31)),
    "deflate": lambda: _Object(zlib.compressobj(1, wbits=15)),
    **({"br": _Brotli} if _brotli else {}),
}


def choose_encoding(accept: str) -> str:
    """Return the first supported encoding of Accept-Encoding, '' for none. Weights are ignored."""
    offered = (part.split(";")[0].strip().lower() for part in accept.split(",") if part.split(";")[-1].strip() != "q=0")
    return next((encoding for encoding in offered if encoding in _ENCODERS), "")


def encoder(encoding: str) -> Encoder:
    return _ENCODERS[encoding]() if encoding else _Plain()
