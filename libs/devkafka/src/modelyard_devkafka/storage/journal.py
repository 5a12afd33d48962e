"""Metadata: topics, groups, committed offsets, transactions. A key-value table stored as a journal.

A key is a tuple of strings and numbers, a value is JSON; None removes the key. Each line is `crc32 json\\n` and holds
entries written together. A journal that has grown to a multiple of its content is rewritten to a new file and renamed.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from modelyard_devkafka.errors import DataFolderUnusable, StorageFailed
from modelyard_devkafka.storage.segment import write_fully

Key = tuple[str | int, ...]
_REWRITE_ABOVE_BYTES: Final = 4 * 1024 * 1024
_REWRITE_FACTOR: Final = 4


def _line(*facts: tuple[Key, Any]) -> bytes:
    body = json.dumps(facts, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


class Journal:
    """Survives kill -9: a torn last line is truncated. Damage before the last line prevents the start."""

    def __init__(self, path: Path, *, rewrite_above_bytes: int = _REWRITE_ABOVE_BYTES) -> None:
        self._path, self._rewrite_above = path, rewrite_above_bytes
        self._table: dict[Key, Any] = {}
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._size = self._replay()
        self._after_rewrite = self._size

    def _replay(self) -> int:
        at = 0
        with self._path.open("rb") as file:
            lines = file.readlines()
        for number, line in enumerate(lines, 1):
            body = line[9:-1]
            if not line.endswith(b"\n") or line[:8] != b"%08x" % zlib.crc32(body):
                if number < len(lines):
                    raise DataFolderUnusable(
                        f"{self._path} is damaged in line {number}: move the data folder away and start anew"
                    )
                os.ftruncate(self._fd, at)
                break
            for key, value in json.loads(body):
                self._keep(tuple(key), value)
            at += len(line)
        return at

    def _keep(self, key: Key, value: Any) -> None:
        if value is None:
            self._table.pop(key, None)
        else:
            self._table[key] = value

    def get(self, *key: str | int) -> Any:
        return self._table.get(key)

    def items(self, *prefix: str | int) -> Iterator[tuple[Key, Any]]:
        """Return a copy of all entries whose key starts with the prefix."""
        width = len(prefix)
        return iter([(key, value) for key, value in self._table.items() if key[:width] == prefix])

    def put(self, *facts: tuple[Key, Any]) -> None:
        """Write entries atomically. Raises StorageFailed if none was written."""
        data = _line(*facts)
        write_fully(self._fd, data, self._size)
        self._size += len(data)
        for key, value in facts:
            self._keep(key, value)
        if self._size > max(self._rewrite_above, _REWRITE_FACTOR * self._after_rewrite):
            self.rewrite()

    def remove(self, keys: Iterable[Key]) -> None:
        if facts := [(key, None) for key in keys]:
            self.put(*facts)

    def rewrite(self) -> None:
        """Drop outdated entries. If the disk is full, the old file stays in use."""
        beside = self._path.with_suffix(".new")
        content = b"".join(_line(fact) for fact in self._table.items())
        fd = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            write_fully(fd, content, 0)
            beside.replace(self._path)
        except (OSError, StorageFailed):
            os.close(fd)
            self._after_rewrite = self._size  # next attempt after it has grown by as much again
            return
        os.close(self._fd)
        self._fd, self._size, self._after_rewrite = fd, len(content), len(content)

    def close(self) -> None:
        os.close(self._fd)
