"""/v1/keys: API keys."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends

from modelyard_registry.api.key_responses import IntrospectionOut, KeyOut
from modelyard_registry.api.requests import IntrospectionBody, NewKeyBody, RotationBody
from modelyard_registry.api.responses import Page
from modelyard_registry.domain.errors import KeyNotFound
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.values import ApiKey
from modelyard_registry.usecases import keys
from modelyard_registry.usecases.history import origin_of
from modelyard_runtime.access import Principal, Target, may
from modelyard_runtime.http import allow, authorize

Manager = Annotated[Principal, Depends(allow("manage-keys", "key", over="any-workspace"))]
Introspector = Annotated[Principal, Depends(allow("introspect", "key", over="all-workspaces"))]


def routes(deps: Deps) -> APIRouter:
    """Creation, lists, rotation, revocation and introspection."""
    router = APIRouter(prefix="/v1/keys", tags=["key"])
    _introspection(router, deps)
    _management(router, deps)
    return router


def _introspection(router: APIRouter, deps: Deps) -> None:
    @router.post("/introspect", response_model_exclude_unset=True)
    def introspect(body: IntrospectionBody, _: Introspector) -> IntrospectionOut:
        """Return the holder of a key, for services. Cache an answer for 30 s at most, never past its expiry."""
        return IntrospectionOut.of(keys.introspect(deps, body.key))


def _management(router: APIRouter, deps: Deps) -> None:
    @router.post("", status_code=201)
    def create(body: NewKeyBody, principal: Manager) -> KeyOut:
        """Create a key. Its text is in this answer and cannot be read again."""
        for workspace in sorted(body.roles):
            authorize(principal, "manage-keys", Target(workspace, "key"))
        origin = origin_of(deps, principal.identity)
        key, text = keys.create_key(deps, body.name, body.roles, body.scopes, expires_at=body.expires_at, origin=origin)
        return KeyOut.of(key, text)

    @router.get("")
    def list_all(principal: Manager) -> Page[KeyOut]:
        """Keys with a role in a workspace whose keys the caller manages, oldest first."""
        with deps.storage.read() as records:
            found = records.keys.all()
        return Page(items=[KeyOut.of(key) for key in found if any(_manages(principal, key))])

    @router.post("/{key_id}/rotate", status_code=201)
    def rotate(key_id: str, body: RotationBody, principal: Manager) -> KeyOut:
        """Create a key that replaces this one; this one expires after the grace period."""
        _authorize(deps, principal, key_id)
        grace = timedelta(seconds=body.grace_s)
        key, text = keys.rotate_key(deps, key_id, grace=grace, origin=origin_of(deps, principal.identity))
        return KeyOut.of(key, text)

    @router.delete("/{key_id}", status_code=204)
    def revoke(key_id: str, principal: Manager) -> None:
        """Refuse the key from now on. Services notice within 30 s."""
        _authorize(deps, principal, key_id)
        keys.revoke_key(deps, key_id, origin_of(deps, principal.identity))


def _manages(principal: Principal, key: ApiKey) -> list[bool]:
    return [may(principal, "manage-keys", Target(workspace, "key")).allowed for workspace in key.roles]


def _authorize(deps: Deps, principal: Principal, key_id: str) -> None:
    """Forbidden unless the caller manages the keys of every workspace that the key has roles in."""
    with deps.storage.read() as records:
        key = records.keys.get(key_id)
    if key is None or not any(_manages(principal, key)):
        raise KeyNotFound(key_id)
    for workspace in sorted(key.roles):
        authorize(principal, "manage-keys", Target(workspace, "key"))
