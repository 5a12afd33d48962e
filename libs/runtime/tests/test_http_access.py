"""Endpoints declare the action they need; the generated walk finds every one that does not hold it."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.testclient import TestClient
from pydantic import BaseModel

from modelyard_devstack.testing.access import role_keys, walk_access
from modelyard_runtime.access import Authenticator, Principal, Target
from modelyard_runtime.errors import NotFound
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import (
    allow,
    allowed_workspaces,
    authenticated,
    authorize,
    create_app,
    target_of,
    visible,
)

RUN = uuid4()


class Start(BaseModel):
    model: str
    rows: int


def find_run(request: Request) -> Target:
    if request.path_params["run_id"] != str(RUN):
        raise NotFound("no such run")
    return target_of("acme:churn", "run")


def routes() -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.get("/models")
    def models(principal: Annotated[Principal, Depends(allow("read", "model", over="any-workspace"))]) -> list[str]:
        return list(filter(visible(principal, "read", "model"), ["churn", "acme:churn", "elsewhere:churn"]))

    @router.post("/models/{reference}/versions/{version}/approve")
    def approve(
        reference: str, version: str, principal: Annotated[Principal, Depends(allow("approve", "model"))]
    ) -> str:
        owner = "reviewer@acme" if version == "own" else "developer@acme"
        return authorize(principal, "approve", Target("acme", "model", reference, created_by=owner))

    @router.post("/runs")
    def start(body: Start, _: Annotated[Principal, Depends(allow("start", "run", body="model"))]) -> str:
        return body.model

    @router.get("/runs/{run_id}")
    def run(run_id: UUID, _: Annotated[Principal, Depends(allow("read", "run", find=find_run))]) -> str:
        return str(run_id)

    @router.get("/workspaces/{workspace}")
    def workspace(workspace: str, _: Annotated[Principal, Depends(allow("read", "workspace"))]) -> str:
        return workspace

    @router.get("/me")
    def me(principal: Annotated[Principal, Depends(authenticated())]) -> str:
        return principal.identity

    return router


def build(authenticator: Authenticator, *more: Callable[[FastAPI], Any]) -> FastAPI:
    app = create_app(service="toy", authenticator=authenticator, readiness=Readiness())
    app.include_router(routes())
    for add in more:
        add(app)
    return app


@pytest.fixture
def client() -> TestClient:
    return TestClient(build(role_keys()), raise_server_exceptions=False)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_every_endpoint_holds_the_grants() -> None:
    assert await walk_access(build, samples={"run_id": str(RUN)}) > 300


async def test_the_walk_finds_an_endpoint_that_declares_nothing() -> None:
    def forgotten(app: FastAPI) -> None:
        @app.post("/v1/forgotten")
        def endpoint() -> None: ...

    with pytest.raises(AssertionError, match="/v1/forgotten: 0 declared"):
        await walk_access(lambda keys: build(keys, forgotten))


async def test_the_walk_finds_an_endpoint_that_checks_the_wrong_workspace() -> None:
    def wrong(app: FastAPI) -> None:
        find = lambda _: Target("elsewhere", "model")  # noqa: E731

        @app.get("/v1/wrong/{id}")
        def endpoint(id: str, _: Annotated[Principal, Depends(allow("read", "model", find=find))]) -> None: ...

    with pytest.raises(AssertionError, match=r"/v1/wrong/\{id\} as viewer@acme: 403, allowed: True"):
        await walk_access(lambda keys: build(keys, wrong), samples={"run_id": str(RUN)})


def test_a_list_shows_only_workspaces_where_the_caller_has_a_role(client: TestClient) -> None:
    assert client.get("/v1/models", headers=bearer("viewer@acme")).json() == ["acme:churn"]
    assert len(client.get("/v1/models", headers=bearer("viewer@*")).json()) == 3


def test_an_empty_filter_of_a_list_names_no_resource_of_the_default_workspace(client: TestClient) -> None:
    assert client.get("/v1/models?model=", headers=bearer("viewer@acme")).json() == ["acme:churn"]
    assert client.get("/v1/models?model=churn", headers=bearer("viewer@acme")).status_code == 403


def test_facts_about_the_own_key_need_a_valid_key_but_no_role(client: TestClient) -> None:
    assert client.get("/v1/me", headers=bearer("none")).json() == "none"
    assert client.get("/v1/me").status_code == 401


def test_a_list_that_the_database_filters_gets_the_workspaces_of_the_roles_that_allow_it() -> None:
    roles = {"acme": frozenset({"viewer"}), "other": frozenset({"caller"})}
    assert allowed_workspaces(Principal("ann", "user", roles), "read", "model") == frozenset({"acme"})
    assert allowed_workspaces(Principal("ann", "user", {"*": frozenset({"viewer"})}), "read", "model") is None
    narrowed = Principal("ann", "user", roles, frozenset({"predict"}))
    assert allowed_workspaces(narrowed, "read", "model") == frozenset()


def test_a_refusal_gives_the_reason_and_who_can_help(client: TestClient) -> None:
    answer = client.post("/v1/runs", headers=bearer("viewer@acme"), json={"model": "acme:churn", "rows": 1})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "allows start on run; ask an admin for developer or admin" in answer.json()["detail"]


def test_the_target_of_a_start_is_in_its_body(client: TestClient) -> None:
    body = {"model": "acme:churn", "rows": 1}
    assert client.post("/v1/runs", headers=bearer("developer@acme"), json=body).status_code == 200
    assert client.post("/v1/runs", headers=bearer("developer@elsewhere"), json=body).status_code == 403
    assert client.post("/v1/runs", headers=bearer("developer@acme"), content=b"{").status_code == 403


def test_four_eyes_hold_inside_an_endpoint(client: TestClient) -> None:
    answer = client.post("/v1/models/acme:churn/versions/own/approve", headers=bearer("reviewer@acme"))
    assert (answer.status_code, answer.json()["detail"][:9]) == (403, "four eyes")


def test_two_authorization_headers_are_refused(client: TestClient) -> None:
    twice = [("Authorization", "Bearer viewer@acme"), ("Authorization", "Bearer admin@*")]
    answer = client.get("/v1/models", headers=twice)
    assert (answer.status_code, answer.json()["code"]) == (400, "duplicate_authorization")


def test_an_unknown_action_or_kind_is_a_mistake_in_the_code() -> None:
    with pytest.raises(ValueError, match="not an action and a kind"):
        allow("fly", "model")
