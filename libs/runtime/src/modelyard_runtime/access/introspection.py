"""Asking the registry who holds a key."""

import asyncio
import json
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from modelyard_runtime.access.principals import Principal
from modelyard_runtime.errors import Unavailable

PATH: Final = "/v1/keys/introspect"
TIMEOUT_S: Final = 3.0


@dataclass(frozen=True)
class Introspected:
    """An active key: its principal, and the moment from which it is refused (None: it does not expire)."""

    principal: Principal
    expires_at: datetime | None = None


Introspect = Callable[[str], Awaitable[Introspected | Principal | None]]
"""Key to its holder; None for an unknown, expired or revoked key. Raises when the registry cannot be asked."""


def registry_introspection(registry_url: str, service_key: str) -> Introspect:
    """Return a function that asks the registry, as the service that holds `service_key`."""
    base = registry_url.rstrip("/")
    headers = {"Authorization": f"Bearer {service_key}", "Content-Type": "application/json"}

    def ask(token: str) -> Introspected | None:
        body = json.dumps({"key": token}).encode()
        try:
            return read_answer(post_json(base + PATH, body, headers))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"introspection at {base}{PATH}: {error}") from error

    async def introspect(token: str) -> Introspected | None:
        return await asyncio.to_thread(ask, token)

    return introspect


def post_json(url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """Send a JSON document and return the answer; blocks. OSError if there is none, or it is an error."""
    request = urllib.request.Request(url, data=body, headers=dict(headers))  # noqa: S310  settings check the scheme
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


def read_answer(found: Mapping[str, Any]) -> Introspected | None:
    """Parse `{"active", "identity", "kind", "roles", "scopes", "expires_at"}`; KeyError when a field is missing."""
    if not found.get("active"):
        return None
    expires = found.get("expires_at")
    expires_at = datetime.fromisoformat(expires) if expires else None
    roles = {str(workspace): frozenset(names) for workspace, names in found["roles"].items()}
    scopes = found.get("scopes")
    principal = Principal(found["identity"], found["kind"], roles, None if scopes is None else frozenset(scopes))
    return Introspected(principal, expires_at)
