"""The download of one file: resumed after a cut connection, verified at its end."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from modelyard.errors import ApiError, ApiUnavailable, DigestMismatch
from modelyard_own.remote.connection import Connection
from modelyard_own.remote.files import RemoteFile

MIB: Final = 1 << 20
FRESH_STARTS: Final = 2
"""Downloads with wrong bytes before they are an error: the first may have resumed a damaged part."""
Report = Callable[[str], None]


@dataclass(frozen=True)
class Transfer:
    """The download of one file. part: where its bytes are collected. label: what is reported about it."""

    connection: Connection
    repo: str
    url: str
    file: RemoteFile
    part: Path
    label: str
    report: Report

    def run(self) -> None:
        """Download the file. DigestMismatch if the server sends other bytes than it states."""
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self.part.touch()
        for _ in range(FRESH_STARTS):
            self._complete()
            if self.file.matches(self.part):
                return
            self.report(f"{self.label}: the bytes are wrong, starting again")
            self.part.write_bytes(b"")
        raise DigestMismatch(f"{self.repo}: {self.file.path}", self.file.digest, "other bytes, twice")

    @property
    def _have(self) -> int:
        return self.part.stat().st_size

    def _complete(self) -> None:
        """Append until the file has its size; a cut connection is opened again where it ended."""
        patience = self.connection.patience()
        while (start := self._have) != self.file.size_bytes:
            cut = self._cut()
            if self._have - start >= MIB:
                patience.progressed()
            if self._have != self.file.size_bytes:
                self.report(f"{self.label}: interrupted ({cut.detail or cut.title}), trying again")
                patience.failed(cut)

    def _cut(self) -> ApiUnavailable:
        """Append until the connection ends; return why it did."""
        try:
            self._append(self._have if self._have < self.file.size_bytes else 0)
        except ApiUnavailable as error:
            return error
        return ApiUnavailable(0, "cut", f"{self.repo}: {self.file.path}", f"ended after {self._have:,} bytes")

    def _append(self, start: int) -> None:
        with self.connection.stream(self.url, self.repo, start) as response, self.part.open("r+b") as out:
            written = start if _starts_at(response, start) else 0
            out.truncate(written)
            out.seek(written)
            for chunk in response.iter_bytes():
                written += len(chunk)
                self._check_length(written)
                out.write(chunk)
                share = written / self.file.size_bytes
                self.report(f"{self.label}: {share:.0%} of {self.file.size_bytes / MIB:.1f} MiB")

    def _check_length(self, written: int) -> None:
        if written > self.file.size_bytes:
            stated = f"the server sent more than the {self.file.size_bytes:,} bytes that it states"
            raise ApiError(0, "too_long", f"{self.repo}: {self.file.path}", stated)


def _starts_at(response: httpx.Response, start: int) -> bool:
    """Whether the answer is the rest of the file from `start`; a server may send the whole file instead."""
    found = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return response.status_code == 206 and found is not None and int(found[1]) == start
