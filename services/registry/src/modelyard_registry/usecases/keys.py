"""API keys: the secret is returned once, only its keyed hash is stored."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from modelyard_contracts.references import DEFAULT_WORKSPACE
from modelyard_registry.domain.errors import KeyNotActive, KeyNotFound
from modelyard_registry.domain.key_hashes import hash_key, verify_key
from modelyard_registry.domain.names import check_identity, workspace_key
from modelyard_registry.domain.ports import Deps, Unit
from modelyard_registry.domain.values import ApiKey, Origin
from modelyard_registry.usecases.history import note
from modelyard_runtime.access import ALL_WORKSPACES, BOOTSTRAP, GRANTS, ROLES, SCOPES
from modelyard_runtime.errors import Invalid

SECRET_BYTES: Final = 32
MAX_GRACE_S: Final = 30 * 86_400
_TEXT: Final = re.compile(r"my_([0-9a-f]{16})_[A-Za-z0-9_-]{1,200}")


def create_key(
    deps: Deps,
    name: str,
    roles: Mapping[str, Iterable[str]],
    scopes: Iterable[str] | None,
    *,
    expires_at: datetime | None,
    origin: Origin,
) -> tuple[ApiKey, str]:
    """Return the key and its text, which cannot be read again. Invalid names the field."""
    granted = _checked_roles(roles)
    narrowed = None if scopes is None else _checked_scopes(scopes)
    if expires_at is not None and expires_at <= origin.at:
        raise Invalid(f"expires_at: {expires_at.isoformat()} has passed; give a later moment", field="expires_at")
    key, text = _new(deps, check_identity(name), granted, narrowed, origin)
    key = replace(key, expires_at=expires_at)
    with deps.storage.transaction() as unit:
        unit.keys.add(key)
        _note(unit, key, "key_created", origin)
    return key, text


def rotate_key(deps: Deps, key_id: str, *, grace: timedelta, origin: Origin) -> tuple[ApiKey, str]:
    """Return a new key with the same identity, roles and scopes; the old one expires after `grace`."""
    with deps.storage.transaction() as unit:
        old = _known(unit, key_id)
        if not old.active(origin.at):
            raise KeyNotActive(key_id)
        key, text = _new(deps, old.identity, old.roles, old.scopes, origin)
        key = replace(key, kind=old.kind, expires_at=old.expires_at, replaces=key_id)
        unit.keys.add(key)
        unit.keys.expire(
            key_id, min(origin.at + grace, old.expires_at or datetime.max.replace(tzinfo=origin.at.tzinfo))
        )
        _note(unit, key, "key_rotated", origin)
        return key, text


def revoke_key(deps: Deps, key_id: str, origin: Origin) -> None:
    """Refuse the key from now on; repeats change nothing."""
    with deps.storage.transaction() as unit:
        key = _known(unit, key_id)
        if key.revoked_at is None:
            unit.keys.revoke(key_id, origin.at)
            _note(unit, key, "key_revoked", origin)


def introspect(deps: Deps, text: str) -> ApiKey | None:
    """Return the key with this text if it is active now. Renews a hash that an older secret made."""
    if hmac.compare_digest(fingerprint(text), deps.admin_fingerprint):
        return _bootstrap(deps)
    with deps.storage.read() as records:
        key = records.keys.get(id_of(text))
    ring = deps.hash_secrets()
    if key is None or not verify_key(ring, text, key.hash_secret_id, key.secret_hash):
        return None
    if not key.active(deps.clock()):
        return None
    if key.hash_secret_id != ring.current.id:
        with deps.storage.transaction() as unit:
            unit.keys.set_hash(key.id, *hash_key(ring, text))
    return key


def fingerprint(text: str) -> bytes:
    """SHA-256 of the text of a key."""
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()


def _bootstrap(deps: Deps) -> ApiKey:
    """The admin key, as a key."""
    roles = {workspace: tuple(sorted(names)) for workspace, names in BOOTSTRAP.roles.items()}
    return ApiKey(
        "bootstrap", BOOTSTRAP.identity, BOOTSTRAP.kind, roles, None, "", "", deps.clock(), BOOTSTRAP.identity
    )


def id_of(text: str) -> str:
    """Id of a key: part of its text, or derived from it when the text was chosen by an operator."""
    found = _TEXT.fullmatch(text)
    return found[1] if found else fingerprint(text).hex()[:16]


def described(deps: Deps, text: str, identity: str, roles: Mapping[str, tuple[str, ...]], origin: Origin) -> ApiKey:
    """The stored form of a key whose text is known."""
    secret_id, hashed = hash_key(deps.hash_secrets(), text)
    return ApiKey(
        id=id_of(text),
        identity=identity,
        kind="user",
        roles=roles,
        scopes=None,
        secret_hash=hashed,
        hash_secret_id=secret_id,
        created_at=origin.at,
        created_by=origin.actor,
    )


def _new(
    deps: Deps,
    identity: str,
    roles: Mapping[str, tuple[str, ...]],
    scopes: tuple[str, ...] | None,
    origin: Origin,
) -> tuple[ApiKey, str]:
    text = f"my_{secrets.token_hex(8)}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return replace(described(deps, text, identity, roles, origin), scopes=scopes), text


def _known(unit: Unit, key_id: str) -> ApiKey:
    key = unit.keys.get(key_id)
    if key is None:
        raise KeyNotFound(key_id)
    return key


def _note(unit: Unit, key: ApiKey, change: str, origin: Origin) -> None:
    """Record the change in the history of every workspace that the key has roles in."""
    detail = {"key": key.id, "identity": key.identity, "replaces": key.replaces}
    for workspace in sorted({DEFAULT_WORKSPACE if name == ALL_WORKSPACES else name for name in key.roles}):
        resource = unit.resources.lock(workspace_key(workspace))
        granted = {name: list(roles) for name, roles in key.roles.items() if name in (workspace, ALL_WORKSPACES)}
        note(unit, resource, change, origin, {**detail, "roles": granted})


def _checked_roles(roles: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    granted = {workspace: tuple(sorted(set(names))) for workspace, names in roles.items()}
    if not granted or not all(granted.values()):
        raise Invalid(f"roles: give at least one of {', '.join(sorted(ROLES))} for a workspace", field="roles")
    for workspace, names in granted.items():
        if unknown := sorted(set(names) - GRANTS.keys()):
            raise Invalid(
                f"roles: {', '.join(unknown)[:200]} is not a role; use {', '.join(sorted(ROLES))}", field="roles"
            )
        if workspace != ALL_WORKSPACES and set(names) - ROLES.keys():
            raise Invalid(f"roles: roles of services are granted for `{ALL_WORKSPACES}` only", field="roles")
    return granted


def _checked_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    if unknown := sorted(set(scopes) - SCOPES.keys()):
        raise Invalid(
            f"scopes: {', '.join(unknown)[:200]} is not a scope; use {', '.join(sorted(SCOPES))}", field="scopes"
        )
    return tuple(sorted(set(scopes)))
