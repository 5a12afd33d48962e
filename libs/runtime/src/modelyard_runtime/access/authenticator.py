"""Keys to principals, with a short memory of the registry's answers."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from modelyard_runtime.access.introspection import Introspect, Introspected
from modelyard_runtime.access.principals import BOOTSTRAP, Principal
from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Unavailable

FRESH_FOR: Final = timedelta(seconds=30)
"""Upper bound on how long a revoked key is still accepted."""
REFUSED_FOR: Final = timedelta(seconds=5)
STALE_FOR: Final = timedelta(minutes=10)
"""How long a known key is accepted while the registry does not answer. It cannot revoke keys meanwhile."""
MAX_CACHED: Final = 10_000
MAX_TOKEN_CHARS: Final = 1_000
"""Longer tokens are refused without asking the registry."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Answer:
    key: Introspected | None
    at: datetime

    def principal(self, now: datetime) -> Principal | None:
        if self.key is None or (self.key.expires_at is not None and now >= self.key.expires_at):
            return None
        return self.key.principal

    def fresh(self, now: datetime) -> bool:
        return now - self.at < (FRESH_FOR if self.key else REFUSED_FOR)


class Authenticator:
    """Checks keys. Keeps SHA-256 digests only: no key outlives the request that carried it.

    admin_key: accepted without asking, as BOOTSTRAP; None in services that ask the registry about every key.
    introspect: asks the registry; None accepts the admin key only.
    """

    def __init__(self, admin_key: str | None, introspect: Introspect | None, clock: Clock) -> None:
        if admin_key is not None and not admin_key:
            raise ValueError("an empty admin key would accept every request")
        self._admin = None if admin_key is None else _digest(admin_key)
        self._introspect = introspect
        self._clock = clock
        self._answers: dict[bytes, _Answer] = {}
        self._asking: dict[bytes, asyncio.Future[Principal | None]] = {}

    @property
    def cached(self) -> int:
        """Number of answers remembered."""
        return len(self._answers)

    def known(self, authorization: bytes) -> Principal | None:
        """Return the principal of an `Authorization` header if a fresh answer is cached; does not ask. Cheap."""
        token = token_of(authorization.decode("latin-1"))
        if token is None:
            return None
        digest = _digest(token)
        if self._admin is not None and hmac.compare_digest(digest, self._admin):
            return BOOTSTRAP
        answer, now = self._answers.get(digest), self._clock()
        return answer.principal(now) if answer is not None and answer.fresh(now) else None

    async def authenticate(self, token: str) -> Principal | None:
        """Return the principal of a key, or None. Unavailable when the registry does not answer and none is cached."""
        digest = _digest(token)
        if self._admin is not None and hmac.compare_digest(digest, self._admin):
            return BOOTSTRAP
        if not token or len(token) > MAX_TOKEN_CHARS or self._introspect is None:
            return None
        answer, now = self._answers.get(digest), self._clock()
        if answer is not None and answer.fresh(now):
            return answer.principal(now)
        return await self._ask(self._introspect, digest, token, answer)

    async def authenticate_header(self, authorization: str | None) -> Principal | None:
        """Check an `Authorization` header: Bearer, or Basic with the key as its password."""
        token = token_of(authorization)
        return None if token is None else await self.authenticate(token)

    async def _ask(self, introspect: Introspect, digest: bytes, token: str, known: _Answer | None) -> Principal | None:
        """Send one question per key, however many requests wait for the answer."""
        if digest not in self._asking:
            self._asking[digest] = asyncio.ensure_future(self._fresh(introspect, digest, token, known))
            self._asking[digest].add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(self._asking[digest])

    async def _fresh(
        self, introspect: Introspect, digest: bytes, token: str, known: _Answer | None
    ) -> Principal | None:
        # The age counts from the question: a key revoked while the answer travels is not accepted for longer.
        asked_at = self._clock()
        try:
            found = await introspect(token)
        except Exception as error:
            return self._stale(known, error)
        answer = _Answer(Introspected(found) if isinstance(found, Principal) else found, asked_at)
        self._answers.pop(digest, None)
        self._answers[digest] = answer
        self._evict()
        return answer.principal(self._clock())

    def _stale(self, known: _Answer | None, error: Exception) -> Principal:
        now = self._clock()
        principal = known.principal(now) if known and now - known.at < STALE_FOR else None
        if principal is None:
            raise Unavailable("the registry does not answer, so this key cannot be checked; try again") from error
        log.warning("the registry does not answer; %s stays accepted for now: %s", principal.identity, error)
        return principal

    def _evict(self) -> None:
        """Drop refusals first: a flood of wrong keys must not evict valid ones."""
        if len(self._answers) > MAX_CACHED:
            self._answers = {digest: answer for digest, answer in self._answers.items() if answer.key}
        while len(self._answers) > MAX_CACHED:
            self._answers.pop(next(iter(self._answers)))


def token_of(authorization: str | None) -> str | None:
    """Return the key in an `Authorization` header, or None if the scheme is not Bearer or Basic."""
    scheme, _, rest = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
