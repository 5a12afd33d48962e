"""Faults on demand, for tests of Kafka clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class When(StrEnum):
    """DROP_AFTER: the request takes effect but its response is lost, which causes duplicates."""

    DROP_BEFORE = "drop before"
    DROP_AFTER = "drop after"
    DELAY = "delay"
    ERROR = "error"


@dataclass
class Fault:
    """The fault of the next `times` requests of one API."""

    when: When
    times: int
    seconds: float = 0.0
    code: int = 0


@dataclass
class Faults:
    """Faults per API key, used in order. Thread-safe."""

    _planned: dict[int, list[Fault]] = field(default_factory=dict)

    def drop(self, api_key: int, *, times: int = 1, after: bool = False) -> None:
        """Close the connection instead of responding, before or `after` the request takes effect."""
        self._plan(api_key, Fault(When.DROP_AFTER if after else When.DROP_BEFORE, times))

    def delay(self, api_key: int, seconds: float, *, times: int = 1) -> None:
        """Delay the handling of the request."""
        self._plan(api_key, Fault(When.DELAY, times, seconds=seconds))

    def fail(self, api_key: int, code: int, *, times: int = 1) -> None:
        """Return an error code without handling the request."""
        self._plan(api_key, Fault(When.ERROR, times, code=code))

    def clear(self) -> None:
        self._planned.clear()

    def _plan(self, api_key: int, fault: Fault) -> None:
        self._planned.setdefault(api_key, []).append(fault)

    def take(self, api_key: int) -> Fault | None:
        """Return the fault for a request, or None; each fault is used `times` times."""
        planned = self._planned.get(api_key)
        if not planned:
            return None
        fault = planned[0]
        fault.times -= 1
        if fault.times <= 0:
            planned.pop(0)
        return fault
