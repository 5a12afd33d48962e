"""Requests and replies as the use cases see them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from modelyard_router.domain.contract import Values
from modelyard_router.domain.leaves import Header

Reply = tuple[int, list[Header], bytes]
"""Status, headers, body."""


@dataclass(slots=True)
class Call:
    """Facts known before the body is read."""

    started: float
    """time.perf_counter() at the first byte."""
    trace: bytes = b""
    """W3C traceparent, or empty."""
    timeout_s: float | None = None
    """The caller's own deadline; the shorter of this and the route's applies."""
    session: str | None = None
    headers: Iterable[Header] = ()

    def header_facts(self) -> dict[str, str]:
        """Headers that rules may compare, by lower-case name; never the key."""
        return {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in self.headers
            if name != b"authorization"
        }


class InputRow(NamedTuple):
    """One row of a request that matches its contract."""

    id: str
    logged: Values
    """The inputs as they are logged."""
