"""The action that an endpoint needs, declared on it: `Depends(allow("approve", "model"))`."""

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from fastapi import Request

from modelyard_runtime.access import ACTIONS, ALL_WORKSPACES, KINDS, Principal, Target, may, may_anywhere
from modelyard_runtime.errors import Forbidden

DEFAULT_WORKSPACE: Final = "default"
REFERENCE_PARAMETERS: Final = ("reference", "model", "dataset", "prompt", "route")
"""Path parameters, and for lists the query parameter, that name the resource as `name` or `workspace:name`."""

Find = Callable[[Request], Target | Awaitable[Target]]
"""Looks up the target of a resource that is addressed by an id; raises NotFound."""
Over = Literal["resource", "any-workspace", "all-workspaces", "own-key"]


@dataclass(frozen=True)
class Needs:
    """The declared need of an endpoint.

    over: `resource` checks the workspace of the resource (path, body field, or `default`); `any-workspace` is for lists
    and for what belongs to no workspace: a role in one workspace is enough, and a list is filtered with `visible`;
    `all-workspaces` counts only roles that are granted everywhere; `own-key` allows every valid key, for facts about
    the key itself.
    body: the field of the JSON body that holds the reference. find: the look-up for a resource addressed by an id.
    """

    action: str
    kind: str
    over: Over = "resource"
    body: str | None = None
    find: Find | None = None


def allow(
    action: str, kind: str, *, over: Over = "resource", body: str | None = None, find: Find | None = None
) -> Callable[[Request], Awaitable[Principal]]:
    """A FastAPI dependency: the caller, who must be allowed `action` on the target; 403 with the reason otherwise."""
    if action not in ACTIONS or kind not in KINDS:
        raise ValueError(f"allow({action!r}, {kind!r}): not an action and a kind of access.grants")
    needs = Needs(action, kind, over, body, find)

    async def dependency(request: Request) -> Principal:
        principal: Principal = request.scope["modelyard.principal"]
        target = await _target(request, needs)
        decision = may_anywhere(principal, action, kind) if target is None else may(principal, action, target)
        if not decision.allowed:
            raise Forbidden(decision.reason)
        request.scope["modelyard.decision"] = decision
        return principal

    dependency.modelyard_needs = needs  # type: ignore[attr-defined]  # read by `needs_of`
    return dependency


def authenticated() -> Callable[[Request], Awaitable[Principal]]:
    """A FastAPI dependency: the caller, whatever the roles of the key."""

    async def dependency(request: Request) -> Principal:
        principal: Principal = request.scope["modelyard.principal"]
        return principal

    dependency.modelyard_needs = Needs("read", "key", "own-key")  # type: ignore[attr-defined]  # read by `needs_of`
    return dependency


def authorize(principal: Principal, action: str, target: Target) -> str:
    """Check a target that is only known inside an endpoint. Returns the reason for the ledger; Forbidden otherwise."""
    decision = may(principal, action, target)
    if not decision.allowed:
        raise Forbidden(decision.reason)
    return decision.reason


def target_of(reference: str, kind: str) -> Target:
    """The target that a reference (`name` or `workspace:name`) names."""
    workspace, found, name = reference.partition(":")
    return Target(workspace, kind, name) if found else Target(DEFAULT_WORKSPACE, kind, reference)


def visible(principal: Principal, action: str, kind: str) -> Callable[[str], bool]:
    """Return a filter of references for a list that spans workspaces."""
    decided: dict[str, bool] = {}

    def allowed(reference: str) -> bool:
        target = target_of(reference, kind)
        if target.workspace not in decided:
            decided[target.workspace] = may(principal, action, target).allowed
        return decided[target.workspace]

    return allowed


def allowed_workspaces(principal: Principal, action: str, kind: str) -> frozenset[str] | None:
    """Return the workspaces of a list that is filtered in the database; None: all of them."""
    if may(principal, action, Target(ALL_WORKSPACES, kind)).allowed:
        return None
    return frozenset(name for name in principal.roles if may(principal, action, Target(name, kind)).allowed)


def needs_of(dependant: Any) -> Iterator[Needs]:
    """Yield the needs that a route of FastAPI declares, on itself or through its dependencies."""
    if dependant is None:
        return
    needs = getattr(dependant.call, "modelyard_needs", None)
    if needs is not None:
        yield needs
    for inner in dependant.dependencies:
        yield from needs_of(inner)


async def _target(request: Request, needs: Needs) -> Target | None:
    """The target of a request; None for any workspace."""
    if needs.over == "all-workspaces":
        return Target(ALL_WORKSPACES, needs.kind)
    if needs.find is not None:
        found = needs.find(request)
        return await found if inspect.isawaitable(found) else found
    reference = _reference(request.path_params) or await _in_body(request, needs.body)
    if reference is None and needs.over == "any-workspace":
        reference = _reference(request.query_params)
    if reference is not None:
        return target_of(reference, needs.kind)
    if workspace := request.path_params.get("workspace"):
        return Target(workspace, needs.kind, workspace)
    return None if needs.over == "any-workspace" else Target(DEFAULT_WORKSPACE, needs.kind)


def _reference(parameters: Mapping[str, Any]) -> str | None:
    for name in REFERENCE_PARAMETERS:
        if parameters.get(name):  # an empty filter of a list names nothing
            return str(parameters[name])
    return None


async def _in_body(request: Request, field: str | None) -> str | None:
    """The reference in a JSON body. A body that cannot be read is refused by the endpoint itself."""
    if field is None:
        return None
    try:
        found = await request.json()
    except ValueError:
        return None
    value = found.get(field) if isinstance(found, dict) else None
    return value if isinstance(value, str) else None
