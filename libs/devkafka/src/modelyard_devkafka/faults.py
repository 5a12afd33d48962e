"""Faults on demand, for tests of those who talk to a broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class When(StrEnum):
    """DROP_AFTER: the request takes effect and its answer is lost, the fault that makes duplicates."""

    DROP_BEFORE = "drop before"
    DROP_AFTER = "drop after"
    DELAY = "delay"
    ERROR = "error"


@dataclass
class Fault:
    """What happens to the next `times` requests of one API."""

    when: When
    times: int
    seconds: float = 0.0
    code: int = 0


@dataclass
class Faults:
    """Faults per API key, taken in the order in which they were asked for. Safe to fill from another thread."""

    _planned: dict[int, list[Fault]] = field(default_factory=dict)

    def drop(self, api_key: int, *, times: int = 1, after: bool = False) -> None:
        """Close the connection instead of answering; `after` the request has taken effect."""
        self._plan(api_key, Fault(When.DROP_AFTER if after else When.DROP_BEFORE, times))

    def delay(self, api_key: int, seconds: float, *, times: int = 1) -> None:
        """Wait before the request is handled."""
        self._plan(api_key, Fault(When.DELAY, times, seconds=seconds))

    def fail(self, api_key: int, code: int, *, times: int = 1) -> None:
        """Answer an error code and do nothing."""
        self._plan(api_key, Fault(When.ERROR, times, code=code))

    def clear(self) -> None:
        self._planned.clear()

    def _plan(self, api_key: int, fault: Fault) -> None:
        self._planned.setdefault(api_key, []).append(fault)

    def take(self, api_key: int) -> Fault | None:
        """The fault for a request that has come in; each is used `times` times."""
        planned = self._planned.get(api_key)
        if not planned:
            return None
        fault = planned[0]
        fault.times -= 1
        if fault.times <= 0:
            planned.pop(0)
        return fault
