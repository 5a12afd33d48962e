"""Routes from specification to published plan, and their HTTP API."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from modelyard_contracts import RolloutAction, RolloutStrategy, RouteApplied, RoutePublished, VersionStage
from modelyard_contracts import RolloutState as State
from modelyard_contracts.routes import RoutePlan, Split, VersionLeaf
from modelyard_deployer.domain.counts import Arm
from modelyard_deployer.usecases.snapshot import read_snapshot
from modelyard_devstack.testing.statements import plans, statements
from modelyard_runtime.access import Authenticator

from .conftest import MODEL, World, a_version, register, targets_of
from .test_api import KEY, build

MANAGED: dict[str, Any] = {"kind": "model", "model": MODEL}


def pinned(version: int) -> dict[str, Any]:
    return {"kind": "version", "model": MODEL, "version": version}


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    headers = {"Authorization": f"Bearer {KEY}"}
    with TestClient(build(world, Authenticator(KEY, None, world.clock)), headers=headers) as client:
        yield client


def put(http: TestClient, name: str, root: dict[str, Any], **more: Any) -> Any:
    return http.put(f"/v1/routes/{name}", json={"root": root, **more})


def tables(world: World, route: str) -> list[RoutePublished]:
    return [table for table in world.published(RoutePublished) if table.route == route]


def root_of(table: RoutePublished) -> Any:
    return RoutePlan.model_validate_json(table.plan).root


def apply(world: World, *routes: str, accepted: bool = True, reason: str = "") -> None:
    for name in routes:
        table = tables(world, name)[-1]
        event = RouteApplied(
            event_id=uuid4(),
            occurred_at=world.clock(),
            correlation_id=uuid4(),
            route=name,
            model=table.model,
            sequence=table.sequence,
            router_id="router-1",
            accepted=accepted,
            reason=reason,
        )
        world.deliver(event)


def test_the_route_of_a_model_is_its_managed_leaf(world: World) -> None:
    world.given_serving(1)
    table = tables(world, MODEL)[-1]
    root = root_of(table)
    assert isinstance(root, VersionLeaf)
    version = a_version(1)
    assert (root.model, root.version, root.digest, root.managed) == (MODEL, 1, version.digest, True)
    assert root.urls == world.targets()[0].urls
    assert list(table.signatures) == [root.feature_schema_id] == [version.file.manifest.feature_schema_id]


def test_a_canary_is_a_split_of_the_managed_leaf(world: World) -> None:
    world.given_canary(2)
    root = root_of(tables(world, MODEL)[-1])
    assert isinstance(root, Split)
    assert [(arm.name, arm.weight, arm.node.version) for arm in root.arms if isinstance(arm.node, VersionLeaf)] == [
        ("canary", 0.05, 2),
        ("stable", 0.95, 1),
    ]


def test_a_specification_with_a_pinned_version_is_published_once_it_has_an_address(
    world: World, http: TestClient
) -> None:
    world.given_serving(2)
    answer = put(http, "safe", {"kind": "fallback", "nodes": [MANAGED, pinned(1)]}, timeout_ms=500)
    assert (answer.status_code, answer.json()["plan"], answer.json()["own"]) == (200, None, False)
    world.processes.mute = {1}
    world.settle(0.1)
    assert "version 1 of churn has no ready replica yet" in http.get("/v1/routes/safe").json()["problem"]
    assert tables(world, "safe") == []

    world.processes.mute = set()
    world.settle(0.1)
    [table] = tables(world, "safe")
    assert (table.sequence, table.timeout_ms, targets_of(table)) == (1, 500, ())
    assert [leaf.version for leaf in root_of(table).nodes] == [2, 1]
    shown = http.get("/v1/routes/safe").json()
    assert (shown["problem"], shown["plan"]["root"]["kind"]) == ("", "fallback")
    assert world.processes.serving() == {1, 2}


def test_a_step_moves_every_route_that_carries_the_model_and_waits_for_all_of_them(
    world: World, http: TestClient
) -> None:
    world.given_serving(1)
    put(http, "rules", {"kind": "shadow", "main": MANAGED, "copies": [{"name": "old", "node": pinned(3)}]})
    world.settle(0.1)
    world.healthy()
    rollout = world.request(RolloutAction.START, 2)
    world.settle()
    assert root_of(tables(world, "rules")[-1]).main.arms[0].weight == 0.05
    assert root_of(tables(world, MODEL)[-1]).arms[0].weight == 0.05

    apply(world, MODEL)
    world.settle(3.0)
    waiting = world.rollout(rollout.id)
    assert (waiting.step, waiting.reason) == (1, "waiting for router-1 to apply the route")
    apply(world, "rules")
    for _ in range(4):
        world.settle(1.0)
    assert world.rollout(rollout.id).step == 2


def test_a_router_that_refuses_one_of_the_routes_ends_the_rollout(world: World, http: TestClient) -> None:
    world.given_serving(1)
    put(http, "other", {"kind": "fallback", "nodes": [MANAGED]})
    world.settle(0.1)
    rollout = world.request(RolloutAction.START, 2)
    world.settle()
    apply(world, MODEL)
    apply(world, "other", accepted=False, reason="weights add up to 0.9")
    world.settle(0.1)
    ended = world.rollout(rollout.id)
    assert (ended.state, ended.reason) == (State.ABORTED, "refused by a router: router-1: weights add up to 0.9")


def test_a_pinned_version_keeps_its_replicas_when_it_no_longer_serves(world: World, http: TestClient) -> None:
    world.given_serving(1)
    put(http, "frozen", pinned(1))
    world.given_serving(2)
    world.settle(4_000.0)
    world.settle(6.0)
    assert world.processes.serving() == {1, 2}
    assert root_of(tables(world, "frozen")[-1]).version == 1
    assert http.delete("/v1/routes/frozen").status_code == 204
    world.settle(0.1)
    world.settle(6.0)
    assert world.processes.serving() == {2}


def test_a_deleted_route_is_published_without_a_plan_and_keeps_its_sequence(world: World, http: TestClient) -> None:
    world.given_serving(1)
    put(http, "twice", pinned(1))
    world.settle(0.1)
    assert http.delete("/v1/routes/twice").status_code == 204
    assert http.get("/v1/routes/twice").status_code == 404
    assert [(table.sequence, table.plan != "") for table in tables(world, "twice")] == [(1, True), (2, False)]
    put(http, "twice", pinned(1))
    world.settle(0.1)
    assert [table.sequence for table in tables(world, "twice")] == [1, 2, 3]


def test_the_route_of_a_model_cannot_be_deleted(world: World, http: TestClient) -> None:
    world.given_serving(1)
    refused = http.delete(f"/v1/routes/{MODEL}")
    assert (refused.status_code, "cannot be deleted" in refused.json()["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("root", "status", "field", "words"),
    [
        ({"kind": "model", "model": "unknown"}, 422, "root.model", "start a rollout first"),
        ({"kind": "version", "model": MODEL, "version": 99}, 404, "root.version", "99"),
        ({"kind": "version", "model": MODEL, "version": 6}, 409, "root.version", "approve it first"),
        ({"kind": "fallback", "nodes": [pinned(1) | {"urls": ["http://evil"]}]}, 422, None, "deployer adds"),
        ({"kind": "cascade", "threshold": 0.5, "first": MANAGED, "then": MANAGED}, 422, "root", "not executed"),
        ({"kind": "split", "arms": [{"name": "a", "weight": 0.5, "node": MANAGED}]}, 422, None, "add up to 0.5"),
    ],
)
def test_a_specification_that_cannot_work_is_refused_with_its_field(
    world: World, http: TestClient, root: dict[str, Any], status: int, field: str | None, words: str
) -> None:
    world.given_serving(1)
    register(world.registry, 6, VersionStage.REGISTERED)
    refused = put(http, "r", root)
    assert (refused.status_code, words in refused.json()["detail"]) == (status, True), refused.json()
    assert field is None or refused.json()["field"] == field
    assert http.get("/v1/routes/r").status_code == 404


def test_the_routers_that_applied_a_route_are_reported(world: World, http: TestClient) -> None:
    world.given_serving(1)
    world.routers_apply("router-1", "router-2")
    world.request(RolloutAction.START, 2, strategy=RolloutStrategy.FULL)
    world.settle()
    world.routers_apply("router-1", accepted=False, reason="no memory")
    shown = http.get(f"/v1/routes/{MODEL}/applied").json()
    assert shown == {
        "route": MODEL,
        "sequence": world.route().sequence,
        "applied": [],
        "pending": ["router-2"],
        "refused": {"router-1": "no memory"},
    }


def test_the_price_of_a_version_is_in_its_leaf(world: World) -> None:
    world.given_serving(1)
    root = root_of(tables(world, MODEL)[-1])
    assert root.price == a_version(1).file.manifest.price
    assert root.price.usd_per_call == 0.0002


def test_a_canary_of_an_own_route_with_a_specification_still_aborts(world: World, http: TestClient) -> None:
    world.given_serving(1)
    assert put(http, MODEL, {"kind": "fallback", "nodes": [MANAGED, pinned(3)]}).status_code == 200
    world.settle(0.1)
    apply(world, MODEL)
    rollout = world.request(RolloutAction.START, 2)
    world.settle()
    apply(world, MODEL)
    world.healthy(new=Arm(answers=60, errors=55))
    world.settle(1.0)
    world.settle(1.0)
    assert world.rollout(rollout.id).state is State.ABORTED
    assert [leaf.version for leaf in root_of(tables(world, MODEL)[-1]).nodes] == [1, 3]


def test_a_round_of_a_model_runs_as_many_statements_with_many_routes_as_with_one(
    world: World, http: TestClient
) -> None:
    world.given_serving()

    def read() -> int:
        with statements(world.database.engine) as executed, world.store.read() as records:
            snapshot = read_snapshot(records, MODEL, world.clock())
        assert {state.route.name for state in snapshot.routes} == {MODEL, *names}
        return len(executed)

    names: list[str] = []
    alone = read()
    names = [f"route-{at}" for at in range(10)]
    for name in names:
        assert put(http, name, pinned(1)).status_code == 200
    world.settle()
    apply(world, *names)
    assert read() == alone
    with world.store.read() as records:
        acks = records.acknowledgements.of_model(MODEL)
        assert all(acks[name] == records.acknowledgements.of_route(name) != () for name in names)
        assert records.routes.newest_before(MODEL, world.clock()) == {}
    world.clock.advance(61)
    with world.store.read() as records:
        assert records.routes.newest_before(MODEL, world.clock()) == {MODEL: 1, **dict.fromkeys(names, 1)}


def test_open_rollouts_are_found_by_an_index(world: World) -> None:
    with statements(world.database.engine) as executed, world.store.read() as records:
        records.models()
        records.rollouts.recent(unfinished=True)
    if world.database.engine.dialect.name != "sqlite":
        pytest.skip("the plan of a small table on PostgreSQL is a scan")
    assert plans(world.database.engine, executed).count("SCAN rollouts USING INDEX rollouts_open") == 2
