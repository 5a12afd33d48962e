"""Who calls: the runtime's authenticator behind a small memory of headers, so that a known key costs one look-up."""

import time
from collections.abc import Callable
from typing import Final

from modelyard_router.errors import Unauthenticated
from modelyard_runtime.auth import Authenticator, Principal

MAX_REMEMBERED: Final = 10_000


class Keys:
    """For one event loop. Only good answers are remembered, and for `remember_s` only."""

    def __init__(
        self, authenticator: Authenticator, remember_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._authenticator, self._remember_s, self._clock = authenticator, remember_s, clock
        self._known: dict[bytes, tuple[Principal, float]] = {}

    def known(self, authorization: bytes) -> Principal | None:
        """The header's principal, if it was checked a moment ago."""
        found = self._known.get(authorization)
        return found[0] if found is not None and found[1] > self._clock() else None

    async def ask(self, authorization: bytes) -> Principal:
        """Check the header; Unauthenticated says what is needed."""
        who = await self._authenticator.authenticate_header(authorization.decode("latin-1"))
        if who is None:
            self._known.pop(authorization, None)
            raise Unauthenticated("send a valid key as `Authorization: Bearer <key>`")
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[authorization] = who, self._clock() + self._remember_s
        return who
