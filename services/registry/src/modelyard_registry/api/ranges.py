"""The part of a body that a request asks for (RFC 9110, section 14)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from modelyard_runtime.http import Problem

_ONE_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


@dataclass(frozen=True)
class Span:
    """Bytes from `start` to before `stop`; `whole` when the request asks for everything."""

    start: int
    stop: int
    whole: bool

    @property
    def status(self) -> int:
        return 200 if self.whole else 206

    def headers(self, size: int) -> Mapping[str, str]:
        """Headers of the response for a body of `size` bytes."""
        found = {"accept-ranges": "bytes", "content-length": str(self.stop - self.start)}
        return found if self.whole else found | {"content-range": f"bytes {self.start}-{self.stop - 1}/{size}"}


def requested(header: str | None, size: int) -> Span:
    """The span of a `Range` header; several ranges, and units other than bytes, are answered with everything.

    Problem 416 when the range begins past the end.
    """
    found = _ONE_RANGE.fullmatch((header or "").strip())
    if found is None or found.groups() == ("", ""):
        return Span(0, size, whole=True)
    first, last = found.groups()
    if first == "":
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), size if last == "" else min(int(last) + 1, size)
    if start >= stop:
        raise Problem(416, "range_not_satisfiable", f"range: the blob has {size} bytes; ask for bytes before that")
    return Span(start, stop, whole=False)
