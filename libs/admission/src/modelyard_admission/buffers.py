"""Bytes of files: mapped, so that a file of gigabytes costs no memory, and sliced only where they are needed."""

import mmap
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard_admission.errors import Malformed

Data = bytes | mmap.mmap
"""Bytes of a file or of an unpacked member. A slice of it is a copy."""

CHUNK_BYTES = 1024 * 1024


@contextmanager
def opened(path: Path) -> Iterator[Data]:
    """Map a regular file for reading. Malformed for a link or a special file; never waits for a pipe."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Malformed("is no regular file")
        if status.st_size == 0:
            yield b""
            return
        with mmap.mmap(handle, 0, access=mmap.ACCESS_READ) as data:
            yield data
    finally:
        os.close(handle)


def chunks(data: Data, start: int, end: int) -> Iterator[bytes]:
    """Copies of at most 1 MiB, in order."""
    for at in range(start, end, CHUNK_BYTES):
        yield data[at : min(at + CHUNK_BYTES, end)]


def take(data: Data, at: int, size: int) -> bytes:
    """Exactly `size` bytes from `at`. Malformed when the file ends before."""
    if size < 0 or at < 0 or at + size > len(data):
        raise Malformed(f"ends at byte {len(data)}, but {size} bytes are needed at {at}")
    return data[at : at + size]


def whole(data: Data, limit_bytes: int) -> bytes:
    """All bytes in memory. Malformed when they are more than `limit_bytes`."""
    if len(data) > limit_bytes:
        raise Malformed(f"has {len(data)} bytes; at most {limit_bytes} are read")
    return data[:]


_ZIP_END = re.compile(rb"PK\x05\x06.{16}(..)", re.DOTALL)
_ZIP_TAIL_BYTES = 22 + 65_535


def has_zip_tail(data: Data) -> bool:
    """True if a zip reader, which starts at the end, would find an archive in the file."""
    start = max(0, len(data) - _ZIP_TAIL_BYTES)
    tail = data[start:]
    return any(match.end() + int.from_bytes(match[1], "little") == len(tail) for match in _ZIP_END.finditer(tail))
