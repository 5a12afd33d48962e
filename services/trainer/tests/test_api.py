"""The HTTP API, over the use cases and a real database."""

import json

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modelyard_devstack.testing.access import endpoints, role_keys, walk_access
from modelyard_devstack.testing.openapi import check_api
from modelyard_runtime.access import Authenticator
from modelyard_runtime.changes import ChangeLog
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_trainer.api.routes import add_routes

from .helpers.world import World

DEVELOPER = {"authorization": "Bearer developer@default"}


def app_of(world: World, keys: Authenticator | None = None) -> FastAPI:
    app = create_app(service="trainer", authenticator=keys or role_keys(), readiness=Readiness())
    add_routes(app, world.deps, ChangeLog(world.database))
    return app


@pytest.fixture
def http(world: World) -> TestClient:
    return TestClient(app_of(world), headers=DEVELOPER)


async def test_every_endpoint_grants_each_role_its_actions(world: World) -> None:
    world.client.post("/v1/workspaces", {"name": "acme"})
    world.given_model("acme:shifts")
    run_id = str(world.begin(model="acme:shifts").id)
    endless = frozenset({"/v1/changes"})  # a stream, for every role that may read
    calls = await walk_access(lambda keys: app_of(world, keys), samples={"run_id": run_id}, skip=endless)
    assert calls > 50


@pytest.mark.slow
def test_answers_keep_to_the_openapi_document(world: World) -> None:
    world.begin()
    assert check_api(app_of(world)) >= 5


def test_a_run_is_requested_read_listed_and_cancelled(http: TestClient, world: World) -> None:
    begun = http.post("/v1/runs", json={"model": "shifts", "reason": "why not", "parameters": {"seconds": "1"}})
    assert begun.status_code == 202, begun.text
    run_id = begun.json()["run_id"]
    assert (begun.json()["state"], begun.json()["percent"]) == ("requested", 0)
    assert begun.json()["requested_by"] == "developer@default"
    assert http.get(f"/v1/runs/{run_id}").json() == begun.json()
    assert [run["run_id"] for run in http.get("/v1/runs", params={"model": "shifts"}).json()["items"]] == [run_id]
    assert http.get("/v1/runs", params={"model": "other"}).json() == {"items": [], "next_after": None}

    assert http.post(f"/v1/runs/{run_id}/cancel").json()["cancel_requested"] is True
    world.supervisor.tick()
    assert http.get(f"/v1/runs/{run_id}").json()["state"] == "cancelled"
    assert http.post(f"/v1/runs/{run_id}/cancel").status_code == 409


def test_runs_are_listed_in_pages_and_by_state(http: TestClient, world: World) -> None:
    made = []
    for reason in ("first", "second", "third"):
        made.append(http.post("/v1/runs", json={"model": "shifts", "reason": reason}).json()["run_id"])
        cancelled = http.post(f"/v1/runs/{made[-1]}/cancel", json={"reason": f"not the {reason}"}).json()
        assert cancelled["reason"] == f"cancelled by developer@default: not the {reason}"
        world.supervisor.tick()
    pages, after = [], None
    while True:
        page = http.get("/v1/runs", params={"limit": 2, **({"after": after} if after else {})}).json()
        pages.append([run["run_id"] for run in page["items"]])
        if (after := page["next_after"]) is None:
            break
    assert pages in ([made[::-1][:2], made[::-1][2:]], [sorted(made)[:2], sorted(made)[2:]])  # equal moments: by id
    assert http.get("/v1/runs", params={"state": "succeeded"}).json()["items"] == []
    assert len(http.get("/v1/runs", params={"state": ["failed", "cancelled"]}).json()["items"]) == 3
    assert http.get("/v1/runs", params={"state": "tired"}).status_code == 422
    assert http.get("/v1/runs", params={"after": "00000000-0000-0000-0000-000000000000"}).status_code == 404


def test_runs_are_found_by_the_versions_that_they_registered(http: TestClient, world: World) -> None:
    for version in (1, 2, 3):
        run = world.begin(model="shifts")
        http.post(f"/v1/runs/{run.id}/cancel")
        world.supervisor.tick()
        with world.deps.runs.session() as session:
            ended = session.get(run.id)
            assert ended is not None
            changed = {"version": version, "revision": ended.revision + 1}
            session.save(ended.model_copy(update=changed), world.clock())
    found = http.get("/v1/runs", params={"version": ["shifts@1", "shifts@3", "other@2"]}).json()["items"]
    assert sorted(one["version"] for one in found) == [1, 3]
    assert http.get("/v1/runs", params={"version": "shifts@0"}).json()["field"] == "version.0"


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"model": "unknown"}, 404, "model_not_found", "model"),
        ({"model": "shifts", "recipe": "magic"}, 422, "bad_run_request", "recipe"),
        ({"model": "shifts", "parameters": {"speed": "9"}}, 422, "bad_run_request", "parameters.speed"),
        ({"model": "No Good"}, 422, "invalid", "model"),
        ({"model": "shifts", "dataset_digest": "abc"}, 422, "invalid", "dataset_digest"),
        ({}, 422, "invalid", "model"),
    ],
)
def test_a_bad_request_names_the_field(
    http: TestClient, body: dict[str, object], status: int, code: str, field: str
) -> None:
    answer = http.post("/v1/runs", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (status, code, field)


def test_a_second_run_of_a_model_is_a_conflict_that_names_the_first(http: TestClient) -> None:
    first = http.post("/v1/runs", json={"model": "shifts", "idempotency_key": "k"}).json()["run_id"]
    assert http.post("/v1/runs", json={"model": "shifts", "idempotency_key": "k"}).json()["run_id"] == first
    answer = http.post("/v1/runs", json={"model": "shifts"})
    assert (answer.status_code, answer.json()["code"]) == (409, "run_open") and first in answer.json()["detail"]


def test_the_recipes_and_their_parameters_are_listed(http: TestClient) -> None:
    items = {item["name"]: item for item in http.get("/v1/recipes").json()["items"]}
    assert "candidates" in items["tabular-classifier"]["parameters"]["properties"]
    assert "epochs" in items["torch-mlp"]["parameters"]["properties"]


@pytest.mark.process
def test_a_run_shows_its_newest_log_lines(http: TestClient, world: World) -> None:
    run = world.drive(world.begin().id)
    shown = http.get(f"/v1/runs/{run.id}").json()
    assert shown["percent"] == 100 and any("half of it" in line for line in shown["log"])
    assert all(line.isprintable() for line in shown["log"])


def test_data_of_a_run_is_stored_as_requested(http: TestClient) -> None:
    data = {"task": "regression", "target": "price", "time": None, "columns": {"a": "text"}, "new_contract": True}
    body = {"model": "shifts", "recipe": "tabular-regressor", **data}
    assert http.post("/v1/runs", json=body).json()["data"] == data


def test_a_list_shows_only_workspaces_that_the_caller_may_read(http: TestClient, world: World) -> None:
    world.client.post("/v1/workspaces", {"name": "acme"})
    world.given_model("acme:shifts")
    mine, other = world.begin(), world.begin(model="acme:shifts")
    assert [item["run_id"] for item in http.get("/v1/runs").json()["items"]] == [str(mine.id)]
    assert http.get(f"/v1/runs/{other.id}").status_code == 403


@pytest.mark.process
def test_every_revision_is_a_change_with_the_run_itself(http: TestClient, world: World) -> None:
    run = world.drive(world.begin().id)
    changes = ChangeLog(world.database).after("0.0", 100) or []
    assert {(one.type, one.subject, one.model) for one in changes} == {("run", str(run.id), "shifts")}
    assert len(changes) == run.revision
    document = http.get("/openapi.json").json()
    assert "text/event-stream" in json.dumps(document["paths"]["/v1/changes"])


def test_every_endpoint_requires_a_key(world: World) -> None:
    app = app_of(world)
    client = TestClient(app)
    found = list(endpoints(app))
    assert len(found) >= 6
    for endpoint in found:
        answer = client.request(endpoint.method, endpoint.path.replace("{run_id}", "x"))
        assert answer.status_code == 401, endpoint.path


def test_an_unknown_run_is_not_found(http: TestClient) -> None:
    for run_id in ("8a0c8a5e-0000-0000-0000-000000000000", "no-id"):
        assert http.get(f"/v1/runs/{run_id}").status_code in (404, 422)
