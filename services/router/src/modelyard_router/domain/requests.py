"""A request on its way through the router."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from modelyard_router.domain.contract import Numbers, Words
from modelyard_router.domain.routes import Header, Route, Target

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


class InputRow(NamedTuple):
    """One row of a request that matches the contract."""

    id: str
    numbers: Numbers
    words: Words


@dataclass(slots=True)
class Exchange:
    """A valid request and the version it goes to."""

    route: Route
    target: Target
    rows: Sequence[InputRow]
    entity_key: str | None
    tail: bytes
    """The request to the replica, from the value of content-length on."""
    call: Call
    occurred_us: int
    """Microseconds since 1970."""
    sent: float
    """time.perf_counter() when the router's work before the answer was done."""
    deadline: float
    """On the event loop's clock."""
