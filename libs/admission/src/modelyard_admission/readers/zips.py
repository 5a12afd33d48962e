"""Zip archives as every reader must see them: local and central headers that agree, and members that do not overlap.

Format: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (end).
"""

import io
import itertools
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from modelyard_admission.buffers import CHUNK_BYTES, Data, chunks
from modelyard_admission.errors import Deceptive, Malformed
from modelyard_admission.limits import Budget

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_LOCAL_SIGNATURE: Final = b"PK\x03\x04"
_ENCRYPTED, _DESCRIPTOR = 0x1, 0x8
STORED: Final = zipfile.ZIP_STORED
DEFLATED: Final = zipfile.ZIP_DEFLATED


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive; its packed bytes are data[start:end]."""

    name: str
    start: int
    end: int
    header_at: int
    size_bytes: int
    """Unpacked, as the archive states it."""
    crc32: int
    method: int

    @property
    def packed_bytes(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Archive:
    data: Data
    members: tuple[Member, ...]

    def find(self, name: str) -> Member | None:
        return next((member for member in self.members if member.name == name), None)


class _Reader(io.RawIOBase):
    """A file object over bytes that are already mapped, so that zipfile copies only the directory."""

    def __init__(self, data: Data) -> None:
        self._data, self._at = data, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        if base + offset < 0:
            raise OSError("negative seek")
        self._at = base + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size is None or size < 0 else min(len(self._data), self._at + size)
        found = self._data[self._at : end]
        self._at += len(found)
        return found


def read_zip(data: Data, budget: Budget) -> Archive:
    """The members of an archive. Malformed if it is damaged, Deceptive if two readers could see different members."""
    entries = _entries(data)
    for _ in entries:
        budget.spend_member()
    members = tuple(_member(data, entry) for entry in entries if not entry.is_dir())
    _check_names([entry.filename for entry in entries])
    _check_overlaps(members)
    return Archive(data, members)


def member_names(data: Data) -> list[str]:
    """Names in the central directory, for recognition; empty if it cannot be read."""
    try:
        return [entry.filename for entry in _entries(data)]
    except Malformed:
        return []


def _entries(data: Data) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(_Reader(data)) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError, struct.error) as error:
        raise Malformed(f"is no readable zip archive ({error})") from error


def _member(data: Data, entry: zipfile.ZipInfo) -> Member:
    at = entry.header_offset
    if at + _LOCAL.size > len(data) or at < 0:
        raise Malformed(f"has no local header for {entry.filename!r}", entry.filename)
    signature, _, flags, method, _, _, crc32, packed, size, name_bytes, extra_bytes = _LOCAL.unpack(
        data[at : at + _LOCAL.size]
    )
    if signature != _LOCAL_SIGNATURE:
        raise Malformed(f"has no local header for {entry.filename!r}", entry.filename)
    if (flags | entry.flag_bits) & _ENCRYPTED:
        raise Malformed(f"holds the encrypted member {entry.filename!r}", entry.filename)
    name = data[at + _LOCAL.size : at + _LOCAL.size + name_bytes]
    _check_agreement(entry, name, method, flags, (crc32, packed, size))
    start = at + _LOCAL.size + name_bytes + extra_bytes
    end = start + entry.compress_size
    if end > len(data):
        raise Malformed(f"ends inside of {entry.filename!r}", entry.filename)
    return Member(entry.filename, start, end, at, entry.file_size, entry.CRC, entry.compress_type)


def _check_agreement(entry: zipfile.ZipInfo, name: bytes, method: int, flags: int, local: tuple[int, int, int]) -> None:
    """The two headers of a member must describe the same member; sizes may follow in a descriptor or a zip64 field."""
    central = (entry.CRC, entry.compress_size, entry.file_size)
    same_name = name in {entry.orig_filename.encode(encoding, "replace") for encoding in ("utf-8", "cp437")}
    later = bool(flags & _DESCRIPTOR)
    unequal = [mine for mine, theirs in zip(local, central, strict=True) if mine not in {theirs, 0xFFFFFFFF}]
    if not same_name or method != entry.compress_type or (unequal and not (later and not any(local))):
        raise Deceptive(f"has two headers of {entry.filename!r} that disagree", entry.filename)


def _check_names(names: Sequence[str]) -> None:
    """Two members of one name, even by case alone, are one file or two depending on the reader."""
    counts = Counter(name.casefold() for name in names)
    for name in names:
        if counts[name.casefold()] > 1:
            raise Deceptive(f"has two members named {name!r}", name)


def _check_overlaps(members: Sequence[Member]) -> None:
    ordered = sorted(members, key=lambda member: member.header_at)
    for earlier, later in itertools.pairwise(ordered):
        if earlier.end > later.header_at:
            raise Deceptive(f"has members that overlap: {earlier.name!r} and {later.name!r}", later.name)


def prefix_bytes(archive: Archive) -> int:
    """Bytes before the first member, which other readers may take for another format."""
    return min((member.header_at for member in archive.members), default=0)


def unpack(archive: Archive, member: Member, budget: Budget) -> bytes:
    """The content of a member, within the budget. Malformed if its size or checksum is not the stated one."""
    _check_ratio(member, budget.limits.ratio)
    if member.size_bytes > budget.unpacked_bytes_left:
        budget.spend_unpacked(member.size_bytes)
    content = b"".join(_pieces(archive, member, budget))
    if len(content) != member.size_bytes or zlib.crc32(content) != member.crc32:
        raise Damaged(member, content)
    return content


class Damaged(Malformed):
    """A member whose size or checksum is not the stated one; `content` is what could be unpacked."""

    def __init__(self, member: Member, content: bytes) -> None:
        super().__init__(f"holds {member.name!r}, whose size or checksum is not the stated one", member.name)
        self.content = content


def checksum_holds(archive: Archive, member: Member) -> bool:
    """Check a stored member without copying it as a whole."""
    crc32 = 0
    for piece in chunks(archive.data, member.start, member.end):
        crc32 = zlib.crc32(piece, crc32)
    return crc32 == member.crc32 and member.packed_bytes == member.size_bytes


def _check_ratio(member: Member, ratio: int) -> None:
    if member.size_bytes > CHUNK_BYTES and member.size_bytes > ratio * max(1, member.packed_bytes):
        raise Deceptive(f"unpacks {member.name!r} to {member.size_bytes} bytes, a zip bomb", member.name)


def _pieces(archive: Archive, member: Member, budget: Budget) -> Iterator[bytes]:
    packed = chunks(archive.data, member.start, member.end)
    if member.method == STORED:
        for piece in packed:
            budget.spend_unpacked(len(piece))
            yield piece
        return
    if member.method != DEFLATED:
        raise Malformed(f"packs {member.name!r} with method {member.method}, which is not read", member.name)
    yield from inflate(packed, zlib.decompressobj(-zlib.MAX_WBITS), budget, member.size_bytes)


def inflate(packed: Iterator[bytes], engine: "zlib._Decompress", budget: Budget, most_bytes: int) -> Iterator[bytes]:
    """Unpacked pieces; stops with Malformed past `most_bytes`, so that a false size cannot fill the memory."""
    produced = 0
    try:
        for piece in packed:
            waiting = piece
            while waiting and not engine.eof:
                found = engine.decompress(waiting, CHUNK_BYTES)
                waiting = engine.unconsumed_tail
                produced += len(found)
                budget.spend_unpacked(len(found))
                if produced > most_bytes:
                    raise Deceptive(f"unpacks to more than the stated {most_bytes} bytes")
                yield found
        yield engine.flush()
    except zlib.error as error:
        raise Malformed(f"holds damaged deflate data ({error})") from error
