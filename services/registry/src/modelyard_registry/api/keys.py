"""/v1/api-keys."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from modelyard_registry.api.shapes import Introspection, KeyOut, NewKey, Page
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases import keys
from modelyard_runtime.auth import Principal
from modelyard_runtime.http import require

Admin = Annotated[Principal, Depends(require("admin"))]
Servant = Annotated[Principal, Depends(require("service"))]


def routes(deps: Deps) -> APIRouter:
    router = APIRouter(prefix="/v1/api-keys")

    @router.post("", status_code=201)
    def create_key(body: NewKey, principal: Admin) -> KeyOut:
        key, secret = keys.create_key(deps, body.name, body.scopes, expires_at=body.expires_at, actor=principal.name)
        return KeyOut.of(key, secret)

    @router.get("")
    def list_keys(_: Admin) -> Page[KeyOut]:
        with deps.storage.read() as records:
            return Page(items=[KeyOut.of(key) for key in records.all_keys()])

    @router.delete("/{key_id}", status_code=204)
    def revoke_key(key_id: str, _: Admin) -> None:
        keys.revoke_key(deps, key_id)

    return router


def introspection(deps: Deps) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/api-keys/introspect")
    def introspect(body: Introspection, _: Servant) -> dict[str, Any]:
        key = keys.introspect(deps, body.key)
        if key is None:
            return {"active": False}
        return {"active": True, "name": key.name, "scopes": list(key.scopes), "expires_at": key.expires_at}

    return router
