"""How much of a provider one process uses: requests and tokens per minute, requests at one time, pauses asked for."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from modelyard_flavours.providers.access import Terms

MINUTE_S: Final = 60.0
LONGEST_PAUSE_S: Final = 60
"""A provider that asks for more is asked again after this time."""
LIMITED: Final = "provider_rate_limited"


class Throttle:
    """Refuses a call that would exceed a limit, at once. Thread-safe. Limits are read at every call."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._running, self._paused_until = 0, 0.0
        self._calls: deque[float] = deque()
        self._tokens: deque[tuple[float, int]] = deque()

    @contextmanager
    def call(self, terms: Terms) -> Iterator[None]:
        """Within the block the call counts as running; ProviderError if a limit is reached."""
        with self._lock:
            self._check(terms)
            self._running += 1
            self._calls.append(self._clock())
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def used(self, tokens: int) -> None:
        """Count tokens that the provider reports."""
        with self._lock:
            self._tokens.append((self._clock(), tokens))

    def pause(self, seconds: int | None) -> int:
        """Call nothing for as long as the provider asks, one second if it does not say; returns the seconds."""
        wait_s = min(max(1 if seconds is None else seconds, 1), LONGEST_PAUSE_S)
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + wait_s)
        return wait_s

    def _check(self, terms: Terms) -> None:
        now, limits = self._clock(), terms.connection.limits
        self._forget(now - MINUTE_S)
        if now < self._paused_until:
            raise terms.error("the provider asks to wait", LIMITED, math.ceil(self._paused_until - now))
        if limits.concurrent_requests is not None and self._running >= limits.concurrent_requests:
            raise terms.error(f"{self._running} requests are running, its limit concurrent_requests", LIMITED, 1)
        if limits.requests_per_minute is not None and len(self._calls) >= limits.requests_per_minute:
            wait_s = math.ceil(self._calls[0] + MINUTE_S - now)
            raise terms.error(f"{len(self._calls)} requests within a minute, its limit", LIMITED, max(wait_s, 1))
        spent = sum(tokens for _, tokens in self._tokens)
        if limits.tokens_per_minute is not None and spent >= limits.tokens_per_minute:
            wait_s = math.ceil(self._tokens[0][0] + MINUTE_S - now)
            raise terms.error(f"{spent} tokens within a minute, more than its limit", LIMITED, max(wait_s, 1))

    def _forget(self, before: float) -> None:
        while self._calls and self._calls[0] <= before:
            self._calls.popleft()
        while self._tokens and self._tokens[0][0] <= before:
            self._tokens.popleft()
