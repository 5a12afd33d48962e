"""The trainer's HTTP, over the use cases and a real database."""

import pytest
from fastapi.testclient import TestClient

from modelyard_runtime.auth import Authenticator
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_trainer.api.routes import add_routes

from .helpers.world import World

KEY = "an-admin-key-for-tests"


@pytest.fixture
def http(world: World) -> TestClient:
    authenticator = Authenticator(KEY, None, world.clock)
    app = create_app(service="trainer", authenticator=authenticator, readiness=Readiness())
    add_routes(app, world.deps)
    return TestClient(app, headers={"authorization": f"Bearer {KEY}"})


def test_a_run_is_begun_shown_listed_and_cancelled(http: TestClient, world: World) -> None:
    begun = http.post("/v1/runs", json={"model": "shifts", "reason": "why not", "parameters": {"seconds": "1"}})
    assert begun.status_code == 202, begun.text
    run_id = begun.json()["run_id"]
    assert http.get(f"/v1/runs/{run_id}").json()["state"] == "requested"
    assert [run["run_id"] for run in http.get("/v1/runs", params={"model": "shifts"}).json()["items"]] == [run_id]
    assert http.get("/v1/runs", params={"model": "other"}).json() == {"items": []}

    assert http.post(f"/v1/runs/{run_id}/cancel").json()["cancel_requested"] is True
    world.supervisor.tick()
    assert http.get(f"/v1/runs/{run_id}").json()["state"] == "cancelled"
    assert http.post(f"/v1/runs/{run_id}/cancel").status_code == 409


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


def test_every_endpoint_requires_a_key(http: TestClient) -> None:
    for path in ("/v1/runs", "/v1/recipes", "/metrics"):
        assert http.get(path, headers={"authorization": ""}).status_code == 401
    assert http.get("/v1/runs/8a0c8a5e-0000-0000-0000-000000000000").status_code == 404
