"""Authentication: the runtime's authenticator with a small cache of headers, so that a known key costs one lookup."""

import time
from collections.abc import Callable
from typing import Final

from modelyard_router.domain.errors import Unauthenticated
from modelyard_runtime.auth import Authenticator, Principal

MAX_CACHED: Final = 10_000


class Keys:
    """For one event loop. Only valid keys are cached, each for `cache_s` seconds."""

    def __init__(
        self, authenticator: Authenticator, cache_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._authenticator, self._cache_s, self._clock = authenticator, cache_s, clock
        self._cached: dict[bytes, tuple[Principal, float]] = {}

    def cached(self, authorization: bytes) -> Principal | None:
        """The header's principal, if it was checked less than `cache_s` ago."""
        found = self._cached.get(authorization)
        return found[0] if found is not None and found[1] > self._clock() else None

    async def check(self, authorization: bytes) -> Principal:
        """Verify the header; raises Unauthenticated with the remedy."""
        principal = await self._authenticator.authenticate_header(authorization.decode("latin-1"))
        if principal is None:
            self._cached.pop(authorization, None)
            raise Unauthenticated("send a valid key as `Authorization: Bearer <key>`")
        if len(self._cached) >= MAX_CACHED:
            self._cached.clear()
        self._cached[authorization] = principal, self._clock() + self._cache_s
        return principal
