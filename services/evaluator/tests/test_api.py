"""The HTTP API."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from modelyard_evaluator.api.evaluations import add_routes
from modelyard_runtime.auth import Authenticator
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import OPEN_PATHS, create_app

from .conftest import MODEL, World

KEY = "a-key-for-these-tests"


async def unknown(_: str) -> None:
    return None


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    authenticator = Authenticator(KEY, unknown, world.clock)
    app = create_app(service="evaluator", authenticator=authenticator, readiness=Readiness())
    add_routes(app, world.deps, lambda: None)
    with TestClient(app, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


def post(http: TestClient, **fields: Any) -> Any:
    body = {"model": MODEL, "challenger_version": 2, "reason": "asked", **fields}
    return http.post("/v1/evaluations", json=body)


def test_only_health_answers_without_a_token(http: TestClient) -> None:
    app: Any = http.app
    for route in app.routes:
        path = route.path.replace("{evaluation_id}", str(uuid4()))
        for method in route.methods:
            status = http.request(method, path, headers={"Authorization": ""}).status_code
            assert status in ((200, 405) if path in OPEN_PATHS else (401,)), f"{method} {path}"


def test_an_evaluation_is_accepted_and_its_report_can_be_read(world: World, http: TestClient) -> None:
    answer = post(http)
    assert (answer.status_code, answer.json()["stage"]) == (202, "pending")
    world.work()
    report = http.get(f"/v1/evaluations/{answer.json()['evaluation_id']}").json()
    assert (report["stage"], report["verdict"]) == ("finished", "deploy")
    assert report["report"]["comparison"]["difference"] == 0.06
    assert len(report["report"]["reasons"]) >= 3
    assert http.get("/v1/evaluations", params={"model": MODEL}).json()["items"] == [report]


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
