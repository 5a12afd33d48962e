"""Aliases of resources of one kind: `/v1/{kind}s/{reference}/aliases`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from modelyard_registry.api.callers import actor_of
from modelyard_registry.api.fields import After, Reason, ReferencePath
from modelyard_registry.api.requests import AliasMoveBody
from modelyard_registry.api.responses import AliasOut, Page
from modelyard_registry.domain.errors import AliasNotFound
from modelyard_registry.domain.names import key_of
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases import aliases
from modelyard_registry.usecases.history import origin_of
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow


def routes(deps: Deps, kind: str) -> APIRouter:
    """Reads and moves of one kind."""
    router = APIRouter(prefix=f"/v1/{kind}s/{{reference}}/aliases", tags=[kind])
    _read(router, deps, kind)
    _move(router, deps, kind)
    return router


def _read(router: APIRouter, deps: Deps, kind: str) -> None:
    reader = Depends(allow("read", kind))

    @router.get("")
    def list_all(reference: ReferencePath, _: Principal = reader) -> Page[AliasOut]:
        with deps.storage.read() as records:
            found = records.aliases.all(records.resources.get(key_of(kind, reference)))
        return Page(items=[AliasOut.of(alias) for alias in found])

    @router.get("/{alias}")
    def show(reference: ReferencePath, alias: str, _: Principal = reader) -> AliasOut:
        key = key_of(kind, reference)
        with deps.storage.read() as records:
            found = records.aliases.get(records.resources.get(key), alias)
        if found is None or found.version is None:
            raise AliasNotFound(key, alias)
        return AliasOut.of(found)


def _move(router: APIRouter, deps: Deps, kind: str) -> None:
    mover = Depends(allow("move-alias", kind))

    @router.put("/{alias}")
    def move(reference: ReferencePath, alias: str, body: AliasMoveBody, principal: Principal = mover) -> AliasOut:
        """Point the alias at a version, if its generation is still the expected one."""
        origin = origin_of(deps, actor_of(principal, body.actor), body.reason)
        key, generation = key_of(kind, reference), body.expected_generation
        return AliasOut.of(
            aliases.move_alias(deps, key, alias, body.version, expected_generation=generation, origin=origin)
        )

    @router.delete("/{alias}", status_code=204)
    def drop(
        reference: ReferencePath,
        alias: str,
        expected_generation: After,
        reason: Annotated[Reason, Query()],
        principal: Principal = mover,
    ) -> None:
        """Remove the alias, if its generation is still the expected one."""
        origin = origin_of(deps, principal.identity, reason)
        key = key_of(kind, reference)
        aliases.drop_alias(deps, key, alias, expected_generation=expected_generation, origin=origin)
