"""API keys: the secret is shown once, only its keyed hash is kept."""

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Final

from modelyard_registry.domain.errors import KeyNotFound
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.values import ApiKey
from modelyard_runtime.errors import Invalid

SCOPES: Final = ("admin", "write", "read", "predict", "service")
PREFIX: Final = "my"
SECRET_BYTES: Final = 32


def key_secret(admin_key: str) -> bytes:
    """What keys are hashed with: derived from the admin key, so a new admin key ends every API key."""
    return hmac.new(admin_key.encode(), b"modelyard-api-keys", hashlib.sha256).digest()


def create_key(
    deps: Deps, name: str, scopes: tuple[str, ...], *, expires_at: datetime | None, actor: str
) -> tuple[ApiKey, str]:
    """The key, and its secret, which nobody can ask for again."""
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise Invalid(f"scopes: {', '.join(unknown)} is none of {', '.join(SCOPES)}", field="scopes")
    now = deps.clock()
    if expires_at is not None and expires_at <= now:
        raise Invalid(f"expires_at: {expires_at.isoformat()} has passed", field="expires_at")
    key_id = secrets.token_hex(8)
    secret = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    key = ApiKey(key_id, name, tuple(sorted(set(scopes))), _hash(deps, secret), now, actor, expires_at)
    with deps.storage.transaction() as unit:
        unit.records.add_key(key)
    return key, secret


def revoke_key(deps: Deps, key_id: str) -> None:
    """From now on nobody; repeats change nothing."""
    with deps.storage.transaction() as unit:
        key = unit.records.key(key_id)
        if key is None:
            raise KeyNotFound(key_id)
        if key.revoked_at is None:
            unit.records.revoke_key(key_id, deps.clock())


def introspect(deps: Deps, secret: str) -> ApiKey | None:
    """The key of that secret if it is active now."""
    prefix, _, rest = secret.partition("_")
    key_id, _, _ = rest.partition("_")
    if prefix != PREFIX or not key_id.isalnum():
        return None
    with deps.storage.read() as records:
        key = records.key(key_id)
    if key is None or not hmac.compare_digest(key.secret_hash, _hash(deps, secret)):
        return None
    return key if key.active(deps.clock()) else None


def _hash(deps: Deps, secret: str) -> str:
    return hmac.new(deps.key_secret, secret.encode(), hashlib.sha256).hexdigest()
