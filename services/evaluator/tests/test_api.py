"""The HTTP API."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modelyard_devstack.testing.access import role_keys, walk_access
from modelyard_devstack.testing.openapi import check_api
from modelyard_evaluator.api.evaluations import add_routes
from modelyard_evaluator.usecases.request import Request, request_evaluation
from modelyard_runtime.access import Authenticator
from modelyard_runtime.changes import ChangeLog
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app

from .conftest import MODEL, World

DEVELOPER = {"Authorization": "Bearer developer@default"}


def app_of(world: World, keys: Authenticator | None = None) -> FastAPI:
    app = create_app(service="evaluator", authenticator=keys or role_keys(), readiness=Readiness())
    add_routes(app, world.deps, ChangeLog(world.database), lambda: None)
    return app


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(app_of(world), headers=DEVELOPER) as client:
        yield client


def post(http: TestClient, **fields: Any) -> Any:
    body = {"model": MODEL, "challenger_version": 2, "reason": "asked", **fields}
    return http.post("/v1/evaluations", json=body)


def given_evaluation(world: World, model: str, version: int = 1) -> UUID:
    """An evaluation of `model`, which need not exist."""
    request = Request(model, version, uuid4(), requested_by="test", cause=str(uuid4()))
    with world.deps.storage.transaction() as tx:
        return request_evaluation(tx, request, world.clock()).id


async def test_every_endpoint_grants_each_role_what_the_rules_say(world: World) -> None:
    evaluation_id = given_evaluation(world, "acme:sample")
    endless = frozenset({"/v1/changes"})  # a stream, for every role that may read
    samples = {"evaluation_id": str(evaluation_id)}
    assert await walk_access(lambda keys: app_of(world, keys), samples=samples, skip=endless) > 50


@pytest.mark.slow
def test_answers_keep_to_the_openapi_document(world: World) -> None:
    given_evaluation(world, "acme:sample")
    assert check_api(app_of(world)) >= 3


def test_rows_on_which_one_version_is_right_can_be_read(world: World, http: TestClient) -> None:
    answers = {"label": "up", "champion": "down", "challenger": "up"}
    row = {"price": 0.5, "day": None}
    kept = [{"right": "challenger", "row": row, **answers}, {"right": "champion", "row": {}, **answers}]
    world.scorer.result = {"disagreements": kept}
    path = f"/v1/evaluations/{post(http).json()['evaluation_id']}/rows"
    assert http.get(path).json()["items"] == []
    world.work()
    assert [one["only"] for one in http.get(path).json()["items"]] == ["challenger_right", "champion_right"]
    [found] = http.get(path, params={"only": "challenger_right"}).json()["items"]
    assert (found["row"], found["label"], found["champion"]) == (row, "up", "down")
    assert len(http.get(path, params={"limit": 1}).json()["items"]) == 1
    refused = http.get(path, params={"only": "nobody"})
    assert (refused.status_code, refused.json()["field"]) == (422, "only")


def test_an_evaluation_is_accepted_and_its_report_can_be_read(world: World, http: TestClient) -> None:
    answer = post(http)
    assert (answer.status_code, answer.json()["stage"]) == (202, "pending")
    assert answer.json()["requested_by"] == "developer@default"
    world.work()
    report = http.get(f"/v1/evaluations/{answer.json()['evaluation_id']}").json()
    assert (report["stage"], report["verdict"]) == ("finished", "deploy")
    assert (report["task"], report["metric"], report["rows_from"]) == ("binary", "accuracy", "labels")
    assert report["report"]["comparison"]["difference"] == 0.06
    assert len(report["report"]["reasons"]) >= 3
    assert http.get("/v1/evaluations", params={"model": MODEL}).json()["items"] == [report]


def test_a_list_shows_only_workspaces_that_the_caller_may_read(world: World, http: TestClient) -> None:
    given_evaluation(world, "acme:sample")
    given_evaluation(world, "churn")
    given_evaluation(world, "acme:sample")
    listed = http.get("/v1/evaluations", params={"limit": 1}).json()["items"]
    assert [item["model"] for item in listed] == ["churn"]


def test_evaluations_of_several_versions_are_read_in_one_call(world: World, http: TestClient) -> None:
    made = {(model, v): given_evaluation(world, model, v) for model in ("churn", "fraud", "acme:churn") for v in (1, 2)}
    given_evaluation(world, "churn", 3)
    asked = ["churn@1", "churn@2", "fraud@2", "acme:churn@2"]
    found = http.get("/v1/evaluations", params={"version": asked}).json()["items"]
    wanted = [("churn", 1), ("churn", 2), ("fraud", 2)]  # acme's are not readable
    assert {one["evaluation_id"] for one in found} == {str(made[pair]) for pair in wanted}
    [one] = http.get("/v1/evaluations", params={"version": asked, "model": "fraud"}).json()["items"]
    assert one["challenger_version"] == 2
    assert http.get("/v1/evaluations", params={"version": "churn@7"}).json()["items"] == []
    refused = http.get("/v1/evaluations", params={"version": ["churn@1", "churn"]})
    assert (refused.status_code, refused.json()["field"]) == (422, "version.1")


def test_an_unknown_version_is_refused_in_the_answer(world: World, http: TestClient) -> None:
    answer = post(http, champion_version=77)
    assert (answer.status_code, answer.json()["field"]) == (404, "champion_version")
    assert world.evaluations() == []
    with world.registry.unavailable():
        assert post(http).status_code == 503


def test_the_same_idempotency_key_is_one_evaluation(http: TestClient) -> None:
    first, second = (post(http, idempotency_key="k").json() for _ in range(2))
    assert first["evaluation_id"] == second["evaluation_id"]


def test_invalid_input_is_named(http: TestClient) -> None:
    answer = post(http, challenger_version=0)
    assert (answer.status_code, answer.json()["field"]) == (422, "challenger_version")
    assert http.get(f"/v1/evaluations/{uuid4()}").status_code == 404
    assert http.get("/v1/evaluations/no-id").status_code in (404, 422)


def test_changes_are_rendered_as_the_evaluation_itself(world: World, http: TestClient) -> None:
    evaluation_id = post(http).json()["evaluation_id"]
    world.work()
    log = ChangeLog(world.database)
    changes = log.after("0.0", 100) or []
    assert {change.subject for change in changes} == {evaluation_id}
    assert {(change.type, change.model) for change in changes} == {("evaluation", MODEL)}
    assert len(changes) >= 4  # requested, resolved, scored, finished
    document = http.get("/openapi.json").json()
    assert "text/event-stream" in json.dumps(document["paths"]["/v1/changes"])
