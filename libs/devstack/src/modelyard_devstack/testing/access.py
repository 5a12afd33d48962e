"""A test of who may do what, generated from an app's routes: every endpoint, every role, three workspaces.

    async def test_every_endpoint_holds_the_grants() -> None:
        await walk_access(lambda keys: build_app(authenticator=keys), samples={"rollout_id": str(rollout.id)})

Each endpoint is called by a holder of each role: granted in the workspace of the resource, in another workspace, and
everywhere. It must answer 403 exactly when the grants deny the action that the endpoint declares.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute

from modelyard_runtime.access import ALL_WORKSPACES, GRANTS, Authenticator, Principal, Target, may, may_anywhere
from modelyard_runtime.clock import system_clock
from modelyard_runtime.http import OPEN_PATHS, Needs, needs_of
from modelyard_runtime.http.access import DEFAULT_WORKSPACE, REFERENCE_PARAMETERS

HERE: Final = "acme"
ELSEWHERE: Final = "elsewhere"
NO_ROLE: Final = "none"
"""A key without any role."""


@dataclass(frozen=True)
class Endpoint:
    """One method of one path, and the need it declares."""

    method: str
    path: str
    needs: Needs


def role_keys() -> Authenticator:
    """An authenticator whose keys are `ROLE@WORKSPACE`, such as `viewer@acme`, and `none`."""

    async def introspect(key: str) -> Principal | None:
        role, _, workspace = key.partition("@")
        return Principal(key, "user", {workspace: frozenset({role})} if workspace else {})

    return Authenticator(None, introspect, system_clock)


def endpoints(app: FastAPI) -> Iterator[Endpoint]:
    """Every endpoint of an app; AssertionError names those that declare no action, or more than one."""
    undeclared = []
    for route in _routes(app):
        if route.path in OPEN_PATHS:
            continue
        found = list(needs_of(route.dependant))
        if len(found) != 1:
            undeclared.append(f"{sorted(route.methods)} {route.path}: {len(found)} declared")
            continue
        for method in sorted(route.methods):
            yield Endpoint(method, route.path, found[0])
    assert not undeclared, f"declare one `Depends(allow(action, kind))` on each: {undeclared}"  # noqa: S101


async def walk_access(
    build: Callable[[Authenticator], FastAPI],
    *,
    samples: Mapping[str, str] | None = None,
    workspace: str = HERE,
    skip: frozenset[str] = frozenset(),
) -> int:
    """Call every endpoint as every role; AssertionError lists each answer that differs from the grants.

    samples: values of path parameters other than references, such as the id of a resource that exists in `workspace`;
    a random UUID is used for the others. skip: paths to leave out, each with a reason beside the call.
    Returns the number of calls made.
    """
    app = build(role_keys())
    wrong, calls = [], 0
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for endpoint in endpoints(app):
            if endpoint.path in skip:
                continue
            for key, principal in _principals():
                calls += 1
                status = await _status(client, endpoint, key, workspace, samples or {})
                expected = _allowed(principal, endpoint, workspace)
                if (status != 403) != expected or status == 401:
                    wrong.append(f"{endpoint.method} {endpoint.path} as {key}: {status}, allowed: {expected}")
    assert not wrong, "\n".join(wrong)  # noqa: S101
    assert calls, "the app has no endpoint"  # noqa: S101
    return calls


def _routes(app: FastAPI) -> Iterator[Any]:
    """All routes of FastAPI, also those of included routers: each has `path`, `methods` and `dependant`."""
    for route in app.routes:
        if hasattr(route, "effective_route_contexts"):
            yield from route.effective_route_contexts()
        elif isinstance(route, APIRoute):
            yield route


def _principals() -> Iterator[tuple[str, Principal]]:
    yield NO_ROLE, Principal(NO_ROLE)
    for role in GRANTS:
        for workspace in (HERE, ELSEWHERE, ALL_WORKSPACES):
            key = f"{role}@{workspace}"
            yield key, Principal(key, "user", {workspace: frozenset({role})})


def _allowed(principal: Principal, endpoint: Endpoint, workspace: str) -> bool:
    needs = endpoint.needs
    if needs.over == "own-key":
        return True
    if needs.over == "all-workspaces":
        return may(principal, needs.action, Target(ALL_WORKSPACES, needs.kind)).allowed
    if needs.over == "any-workspace" and not _names_a_resource(endpoint):
        return may_anywhere(principal, needs.action, needs.kind).allowed
    named = _names_a_resource(endpoint) or needs.find or needs.body or "{workspace}" in endpoint.path
    return may(principal, needs.action, Target(workspace if named else DEFAULT_WORKSPACE, needs.kind)).allowed


def _names_a_resource(endpoint: Endpoint) -> bool:
    return any(_parameter(name, endpoint.path) for name in REFERENCE_PARAMETERS)


def _parameter(name: str, path: str) -> bool:
    return re.search(rf"{{{name}(:[^}}]*)?}}", path) is not None


async def _status(
    client: httpx.AsyncClient, endpoint: Endpoint, key: str, workspace: str, samples: Mapping[str, str]
) -> int:
    def value(found: re.Match[str]) -> str:
        name = found[1].partition(":")[0]
        if name in samples:
            return samples[name]
        if name == "workspace":
            return workspace
        return f"{workspace}:sample" if name in REFERENCE_PARAMETERS else str(uuid4())

    path = re.sub(r"{([^}]+)}", value, endpoint.path)
    body = {"json": {endpoint.needs.body: f"{workspace}:sample"} if endpoint.needs.body else {}}
    arguments: Any = {} if endpoint.method in {"GET", "HEAD", "DELETE"} else body
    answer = await client.request(endpoint.method, path, headers={"Authorization": f"Bearer {key}"}, **arguments)
    return answer.status_code
