"""Single compressed streams, as joblib writes them: gzip, zlib, bz2, xz and lzma."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from modelyard_admission.buffers import CHUNK_BYTES, Data, chunks
from modelyard_admission.errors import Malformed
from modelyard_admission.limits import Budget

_LZMA_MEMORY_BYTES: Final = 256 * 1024 * 1024

ENGINES: Final[dict[str, Callable[[], Any]]] = {
    "gzip": lambda: zlib.decompressobj(16 + zlib.MAX_WBITS),
    "zlib": lambda: zlib.decompressobj(zlib.MAX_WBITS),
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY_BYTES),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY_BYTES),
}
"""Decompressors by format."""
_ERRORS: Final = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)


def decompress(data: Data, format_: str, budget: Budget) -> bytes:
    """All streams of the file, one after another. Malformed if one is damaged, or other bytes follow."""
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        at = _one(data, at, format_, budget, pieces)
    return b"".join(pieces)


def peek(data: Data, format_: str, size: int = 4096) -> bytes:
    """The first bytes of the unpacked content; empty if they cannot be unpacked."""
    try:
        return bytes(ENGINES[format_]().decompress(data[: 64 * 1024], size))
    except _ERRORS:
        return b""


def _one(data: Data, at: int, format_: str, budget: Budget, pieces: list[bytes]) -> int:
    """Unpack one stream from `at`; returns the position after it."""
    engine, packed_bytes, unpacked_bytes = ENGINES[format_](), 0, 0
    for chunk in chunks(data, at, len(data)):
        packed_bytes += len(chunk)
        for piece in _pieces(engine, chunk):
            unpacked_bytes += len(piece)
            budget.spend_unpacked(len(piece))
            if unpacked_bytes > CHUNK_BYTES and unpacked_bytes > budget.limits.ratio * packed_bytes:
                raise Malformed(f"unpacks {packed_bytes} bytes to more than {unpacked_bytes}: a decompression bomb")
            pieces.append(piece)
        if engine.eof:
            return at + packed_bytes - len(engine.unused_data)
    raise Malformed(f"ends inside of its {format_} stream")


def _pieces(engine: Any, chunk: bytes) -> Iterator[bytes]:
    try:
        piece = engine.decompress(chunk, CHUNK_BYTES)
        yield piece
        while not engine.eof and (len(piece) == CHUNK_BYTES or _waiting(engine)):
            piece = engine.decompress(getattr(engine, "unconsumed_tail", b""), CHUNK_BYTES)
            yield piece
    except _ERRORS as error:
        raise Malformed(f"holds damaged compressed data ({error})") from error


def _waiting(engine: Any) -> bool:
    """True if the engine can return more without more input."""
    if hasattr(engine, "unconsumed_tail"):
        return bool(engine.unconsumed_tail)
    return not engine.needs_input
