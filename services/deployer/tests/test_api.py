"""The HTTP API."""

import asyncio
import json
from collections.abc import Iterator
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modelyard_contracts import RolloutAction, VersionStage
from modelyard_deployer import api
from modelyard_deployer.domain.hedge import Batch
from modelyard_deployer.domain.rollouts import RolloutRequest
from modelyard_deployer.usecases.requests import request_rollout
from modelyard_devstack.testing import wait_until
from modelyard_devstack.testing.access import role_keys, walk_access
from modelyard_devstack.testing.openapi import check_api
from modelyard_runtime.access import Authenticator
from modelyard_runtime.changes import ChangeLog
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app

from .conftest import MODEL, World, register
from .test_adaptive import follows, given_vote

KEY = "a-key-of-the-tests-alone"
ONE_ROLLOUT = frozenset({"/v1/rollouts/{rollout_id}", "/v1/rollouts/{rollout_id}/{action}"})
"""Their target is looked up by id: tests of their own."""
KEYS = ("viewer@default", "viewer@acme", "viewer@*", "none")


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(
        build(world, Authenticator(KEY, None, world.clock)), headers={"Authorization": f"Bearer {KEY}"}
    ) as client:
        yield client


def build(world: World, authenticator: Authenticator) -> FastAPI:
    app = create_app(service="deployer", authenticator=authenticator, readiness=Readiness())
    api.add_routes(app, world.deps, ChangeLog(world.database))
    return app


def post(http: TestClient, action: str, **more: Any) -> Any:
    return http.post("/v1/rollouts", json={"model": MODEL, "action": action, **more})


async def test_every_endpoint_holds_the_grants(world: World) -> None:
    assert await walk_access(lambda keys: build(world, keys), skip=ONE_ROLLOUT | {"/v1/changes"})


async def test_a_rollout_is_visible_in_its_workspace_only(world: World) -> None:
    rollout = world.request(RolloutAction.START, 1)
    with TestClient(build(world, role_keys())) as client:
        path = f"/v1/rollouts/{rollout.id}"
        seen = {key: client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code for key in KEYS}
    assert seen == {"viewer@default": 200, "viewer@acme": 403, "viewer@*": 200, "none": 403}


def test_the_limit_of_the_list_counts_rollouts_that_the_caller_may_read(world: World) -> None:
    for model in ("acme:churn", "churn", "fraud", "spam"):
        request_rollout(world.deps, RolloutRequest(uuid4(), model, RolloutAction.START, uuid4(), "anna", version=1))
        world.clock.advance(1.0)
    with TestClient(build(world, role_keys())) as client:
        headers = {"Authorization": "Bearer viewer@acme"}
        found = client.get("/v1/rollouts", params={"limit": 1}, headers=headers).json()["items"]
    assert [rollout["model"] for rollout in found] == ["acme:churn"]


def test_rollouts_to_several_versions_are_read_in_one_call(world: World) -> None:
    for model, version in (("churn", 1), ("churn", 2), ("fraud", 2), ("acme:churn", 2)):
        new = RolloutRequest(uuid4(), model, RolloutAction.START, uuid4(), "anna", version=version)
        request_rollout(world.deps, new)
        world.clock.advance(1.0)
    asked = {"version": ["churn@2", "fraud@2", "fraud@1", "acme:churn@2"]}
    with TestClient(build(world, role_keys()), headers={"Authorization": "Bearer viewer@default"}) as client:
        found = client.get("/v1/rollouts", params=asked).json()["items"]
        refused = client.get("/v1/rollouts", params={"version": "fraud@x"})
    assert [(one["model"], one["to_version"]) for one in found] == [("fraud", 2), ("churn", 2)]
    assert (refused.status_code, refused.json()["field"]) == (422, "version.0")


@pytest.mark.slow
def test_the_api_keeps_to_its_document(world: World) -> None:
    world.given_canary()
    assert check_api(build(world, role_keys())) >= 9


def test_a_start_is_accepted_and_can_be_followed(world: World, http: TestClient) -> None:
    answer = post(http, "start", version=1, reason="first")
    assert answer.status_code == 202
    rollout = answer.json()
    assert (rollout["state"], rollout["to_version"], rollout["requested_by"]) == ("pending", 1, "bootstrap-admin")
    world.settle()
    world.routers_apply()
    world.settle()
    followed = http.get(f"/v1/rollouts/{rollout['rollout_id']}").json()
    assert followed["state"] == "promoted"
    assert http.get("/v1/rollouts", params={"model": MODEL}).json()["items"] == [followed]


def test_a_version_that_may_not_serve_is_refused_with_the_remedy(world: World, http: TestClient) -> None:
    register(world.registry, 6, VersionStage.REGISTERED)
    refused = post(http, "start", version=6)
    assert refused.status_code == 409
    assert "approve it first" in refused.json()["detail"]
    unknown = post(http, "start", version=99)
    assert (unknown.status_code, unknown.json()["field"]) == (404, "version")
    with world.registry_unavailable():
        assert post(http, "start", version=1).status_code == 503


@pytest.mark.parametrize(
    ("body", "field"),
    [({"action": "start"}, "version"), ({"action": "dance"}, "action"), ({"action": "abort", "speed": 3}, "speed")],
)
def test_bad_input_is_named(http: TestClient, body: dict[str, Any], field: str) -> None:
    answer = http.post("/v1/rollouts", json={"model": MODEL, **body})
    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_a_roll_back_without_a_version_before_is_a_conflict(world: World, http: TestClient) -> None:
    world.given_serving(1)
    answer = post(http, "roll_back")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_roll_back")


def test_a_roll_back_answers_when_the_routers_have_it_with_its_seconds(world: World, http: TestClient) -> None:
    world.given_serving(1)
    world.given_serving(2)
    done: list[Any] = []
    waiting = Thread(target=lambda: done.append(post(http, "roll_back", reason="it hurts", wait_s=20)))
    waiting.start()
    wait_until(lambda: len(world.rollouts()) == 3)
    world.settle()
    world.clock.advance(0.3)
    world.routers_apply()
    world.settle()
    waiting.join(timeout=30)

    [answer] = done
    assert answer.status_code == 200
    assert answer.json()["state"] == "rolled_back"
    assert answer.json()["seconds"] == pytest.approx(0.3)


def test_the_same_idempotency_key_is_one_rollout(http: TestClient) -> None:
    key = str(uuid4())
    first, again = (post(http, "start", version=1, idempotency_key=key).json() for _ in range(2))
    assert first["rollout_id"] == again["rollout_id"] == key


def test_routes_and_replicas_show_what_serves(world: World, http: TestClient) -> None:
    world.given_canary()
    route = http.get(f"/v1/routes/{MODEL}").json()
    assert (route["champion_version"], route["sequence"]) == (1, 2)
    arms = route["plan"]["root"]["arms"]
    assert {arm["node"]["version"]: arm["node"]["variant"] for arm in arms} == {1: "stable", 2: "canary"}
    assert route["routers"][0]["router_id"] == "router-1"
    assert [replica["state"] for replica in http.get("/v1/replicas").json()["items"]] == ["ready", "ready"]
    assert http.get("/v1/routes/nothing").status_code == 404


async def first_events(app: FastAPI, key: str, count: int) -> list[dict[str, Any]]:
    """The first events of the change feed from the beginning of its log."""
    text, enough = [""], asyncio.Event()
    headers = [(b"authorization", f"Bearer {key}".encode()), (b"last-event-id", b"0.0")]
    scope = {"type": "http", "method": "GET", "path": "/v1/changes", "query_string": b"", "headers": headers}

    async def receive() -> Any:
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        text[0] += message.get("body", b"").decode()
        if text[0].count("event: ") >= count:
            enough.set()

    task = asyncio.create_task(app({**scope, "raw_path": b"/v1/changes"}, receive, send))
    await asyncio.wait_for(enough.wait(), 30)
    task.cancel()
    blocks = [block for block in text[0].split("\n\n") if "event: " in block]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


async def test_changes_of_rollouts_and_routes_are_sent_as_events(world: World) -> None:
    """`data` is what the endpoint of the resource returns."""
    app = build(world, role_keys())
    world.given_serving(1)
    seen = await first_events(app, "viewer@default", 2)
    assert {event["event"] for event in seen} == {"rollout", "route"}
    [rollout] = [json.loads(event["data"]) for event in seen if event["event"] == "rollout"]
    [route] = [json.loads(event["data"]) for event in seen if event["event"] == "route"]
    assert (rollout["state"], rollout["to_version"], route["champion_version"]) == ("promoted", 1, 1)


def nested(depth: int) -> str:
    return '{"not": ' * depth + '{"fact": "entity", "op": "exists"}' + "}" * depth


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/rollouts", '{"model": "churn", "action": "abort", "reason": "\\ud800"}'),
        ("POST", "/v1/rollouts", '{"model": "churn", "action": "abort", "reason": "\\u0000"}'),
        ("POST", "/v1/rollouts", '{"model": "churn", "action": "start", "version": 1e400}'),
        ("POST", "/v1/rollouts", '{"model": "churn", "action": "start", "version": ' + "9" * 400 + "}"),
        ("POST", "/v1/rollouts", '{"model": "churn", "action": "abort", "wait_s": NaN}'),
        ("POST", "/v1/rollouts", "[" * 20_000),
        ("PUT", "/v1/routes/r", "[" * 20_000),
        ("PUT", "/v1/routes/r", '{"root": {"kind": "split", "arms": [{"name": "a", "weight": NaN, "node": {}}]}}'),
        (
            "PUT",
            "/v1/routes/r",
            '{"root": {"kind": "rules", "rules": [{"name": "a", "when": '
            + nested(5_000)
            + ', "node": {"kind": "model", "model": "churn"}}], "otherwise": {"kind": "model", "model": "churn"}}}',
        ),
        ("PUT", "/v1/routes/%00", '{"root": {"kind": "model", "model": "churn"}}'),
        ("GET", "/v1/rollouts?model=%00", ""),
        ("GET", "/v1/rollouts?model=%ED%A0%80", ""),
        ("GET", "/v1/rollouts/x", ""),
    ],
)
def test_hostile_input_is_never_an_error_of_ours(
    world: World, http: TestClient, method: str, path: str, body: str
) -> None:
    world.given_canary(2)
    answer = http.request(method, path, content=body, headers={"content-type": "application/json"})
    assert 200 <= answer.status_code < 500, answer.text


def test_votes_list_the_members_and_the_vote_against_the_best(http: TestClient, world: World) -> None:
    assert http.get(f"/v1/models/{MODEL}/votes").status_code == 404
    given_vote(world, 2)
    follows(world, Batch(20, {1: 8.0, 2: 2.0}, vote_loss=3.0, mean_loss=6.0))
    found = http.get(f"/v1/models/{MODEL}/votes").json()
    assert (found["strategy"], found["answer"], found["labels"], found["loss"]) == ("adaptive", "vote", 20, 0.15)
    members = [(one["version"], one["lead"], one["weight"], one["loss"], one["vote_loss"]) for one in found["members"]]
    assert members == [(2, True, 0.476, 0.1, 0.15), (1, False, 0.524, 0.4, 0.15)]
    against = found["against_best"]
    assert (against["version"], against["labels"], against["lost_rows"], against["mean_lost_rows"]) == (2, 20, 1.0, 4.0)
    assert against["bound_rows"] > 4.0


def test_a_model_that_is_not_adaptive_has_no_members(http: TestClient, world: World) -> None:
    world.given_serving(1)
    found = http.get(f"/v1/models/{MODEL}/votes").json()
    assert (found["members"], found["strategy"], found["against_best"]) == ([], "canary", None)
