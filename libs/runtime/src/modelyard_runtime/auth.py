"""Bearer tokens: the bootstrap admin key is known here; any other key is asked of the registry and remembered.

This module needs no web framework; `require` for FastAPI lives in http/app.py.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from modelyard_runtime.clock import Clock
from modelyard_runtime.errors import Unavailable

SCOPES: Final = frozenset({"admin", "write", "read", "predict", "service"})
"""What a key may do; `admin` implies all, `write` implies `read`."""
FRESH_FOR: Final = timedelta(seconds=30)
REFUSED_FOR: Final = timedelta(seconds=5)
STALE_FOR: Final = timedelta(minutes=10)
"""How long a known key stays good while the registry cannot be asked."""
MAX_REMEMBERED: Final = 10_000
MAX_TOKEN_CHARS: Final = 1_000
"""A longer one is nobody's, and is not asked about."""
INTROSPECTION_TIMEOUT_S: Final = 3.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Principal:
    """Who calls, and what they may do."""

    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes or (scope == "read" and "write" in self.scopes)


Introspect = Callable[[str], Awaitable[Principal | None]]
"""Who has this key; None: nobody. Raises when it cannot tell."""

BOOTSTRAP: Final = Principal("bootstrap-admin", frozenset({"admin"}))


@dataclass(frozen=True)
class _Answer:
    principal: Principal | None
    at: datetime


class Authenticator:
    """Tells who a token belongs to. Tokens are never kept or logged, only their SHA-256."""

    def __init__(self, admin_key: str, introspect: Introspect | None, clock: Clock) -> None:
        if not admin_key:
            raise ValueError("an empty admin key would let everybody in")
        self._admin_key = admin_key.encode()
        self._introspect = introspect
        self._clock = clock
        self._answers: dict[bytes, _Answer] = {}
        self._asking: dict[bytes, asyncio.Future[Principal | None]] = {}

    async def authenticate(self, token: str) -> Principal | None:
        """The token's principal, or None; Unavailable when the registry cannot be asked and nothing fresh is known."""
        raw = token.encode()
        if hmac.compare_digest(raw, self._admin_key):
            return BOOTSTRAP
        if not raw or len(token) > MAX_TOKEN_CHARS or self._introspect is None:
            return None
        digest = hashlib.sha256(raw).digest()
        known = self._answers.get(digest)
        if known and self._clock() - known.at < (FRESH_FOR if known.principal else REFUSED_FOR):
            return known.principal
        return await self._ask(self._introspect, digest, token, known)

    async def authenticate_header(self, authorization: str | None) -> Principal | None:
        """The same for an `Authorization` header: Bearer, or Basic with the key as its password."""
        token = token_of(authorization)
        return None if token is None else await self.authenticate(token)

    async def _ask(self, introspect: Introspect, digest: bytes, token: str, known: _Answer | None) -> Principal | None:
        """One question at a time per token, however many requests wait for it."""
        if digest not in self._asking:
            self._asking[digest] = asyncio.ensure_future(self._fresh(introspect, digest, token, known))
            self._asking[digest].add_done_callback(lambda _: self._asking.pop(digest, None))
        return await asyncio.shield(self._asking[digest])

    async def _fresh(
        self, introspect: Introspect, digest: bytes, token: str, known: _Answer | None
    ) -> Principal | None:
        try:
            principal = await introspect(token)
        except Exception as error:  # whatever it is: we could not ask
            if known and known.principal and self._clock() - known.at < STALE_FOR:
                log.warning("keys cannot be checked, %s stays known for now: %s", known.principal.name, error)
                return known.principal
            raise Unavailable("the registry cannot be asked about this key; try again") from error
        self._answers.pop(digest, None)
        self._answers[digest] = _Answer(principal, self._clock())
        if len(self._answers) > MAX_REMEMBERED:  # wrong keys first: a flood of them may not push out the known ones
            self._answers = {key: answer for key, answer in self._answers.items() if answer.principal}
        while len(self._answers) > MAX_REMEMBERED:
            self._answers.pop(next(iter(self._answers)))
        return principal


def token_of(authorization: str | None) -> str | None:
    """The token in an `Authorization` header, or None when there is none that we understand."""
    scheme, _, rest = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip() or None
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2] or None
        except (binascii.Error, UnicodeDecodeError):
            return None
    return None


def registry_introspection(registry_url: str, admin_key: str) -> Introspect:
    """Ask the registry: POST /v1/api-keys/introspect {"key": ...} -> {"active", "name", "scopes"}."""
    url = f"{registry_url.rstrip('/')}/v1/api-keys/introspect"

    def ask(token: str) -> Principal | None:
        request = urllib.request.Request(  # noqa: S310  the scheme was checked with the settings
            url,
            data=json.dumps({"key": token}).encode(),
            headers={"Authorization": f"Bearer {admin_key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=INTROSPECTION_TIMEOUT_S) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
        except (OSError, ValueError) as error:
            raise Unavailable(f"introspection at {url}: {error}") from error
        if not found.get("active"):
            return None
        return Principal(str(found["name"]), frozenset(found["scopes"]) & SCOPES)

    async def introspect(token: str) -> Principal | None:
        return await asyncio.to_thread(ask, token)

    return introspect


def require(scope: str) -> Any:
    """For FastAPI: `Depends(require("write"))`; see http/app.py."""
    from modelyard_runtime.http import require as dependency

    return dependency(scope)
