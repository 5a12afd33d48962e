"""Routes with plans, over real connections: rules, fallbacks, shadow copies, cost, and the record of all attempts."""

import asyncio
import json
from typing import Any

import pytest

from modelyard_contracts import PredictionStatus
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_devstack.testing import eventually

from .conftest import ROW, Answer, Make, World
from .plans import ELEC, fallback, leaf, planned, rules, shadow, split
from .replica import DIGEST_1, DIGEST_2, Behaviour

PRICE_ONLY = Signature(columns=(Column(name="price"),), output=Output(task=Task.BINARY, classes=("down", "up")))


@pytest.fixture(params=["asgi", "socket"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def second(url: str, **fields: Any) -> Any:
    return leaf(url, version=2, digest=DIGEST_2, variant="second", **{"price": {"usd_per_call": 0.02}, **fields})


async def test_a_rule_on_a_header_or_a_feature_chooses_the_version(world: World) -> None:
    one, two = await world.replica(), await world.replica(Behaviour(DIGEST_2))
    dear = {
        "any": [
            {"fact": "header:x-tier", "op": "eq", "value": "gold"},
            {"fact": "feature:price", "op": "gt", "value": 0.9},
        ]
    }
    world.publish(planned(rules(("gold", dear, second(two.url)), otherwise=leaf(one.url))))
    assert (await world.predict()).body["version"] == 1
    assert (await world.predict({**ROW, "price": 0.95})).body["version"] == 2
    answer = await world.call("POST", "/v1/predict/elec", {"features": ROW}, headers={"x-tier": "gold"})
    assert (answer.body["version"], answer.headers["x-modelyard-rule"]) == (2, "gold")
    assert [(row.rule, row.path) for row in world.logged()][-1] == ("gold", "rules:gold")


async def test_a_fallback_hides_an_error_of_the_version_and_logs_both_attempts(world: World) -> None:
    bad, good = await world.replica(Behaviour(status=500)), await world.replica(Behaviour(DIGEST_2))
    world.publish(planned(fallback(leaf(bad.url), second(good.url))))
    answer = await world.predict(entity_key="u")
    assert (answer.status, answer.body["version"]) == (200, 2), answer
    assert answer.headers["x-modelyard-attempts"] == "2"
    assert answer.headers["x-modelyard-rule"] == "fallback:stable:status_500"
    assert float(answer.headers["x-modelyard-cost-usd"]) == pytest.approx(0.021)
    [logged] = world.logged()
    assert (logged.status, logged.path, logged.model_version) == (PredictionStatus.OK, "fallback:1", 2)
    assert logged.cost_usd == pytest.approx(0.021)
    assert [(a.path, a.version, a.digest, a.status, a.cost_usd) for a in logged.attempts] == [
        ("fallback:0", 1, DIGEST_1, PredictionStatus.UPSTREAM_ERROR, 0.001),
        ("fallback:1", 2, DIGEST_2, PredictionStatus.OK, 0.02),
    ]
    assert all(attempt.latency_ms > 0 for attempt in logged.attempts)


async def test_only_the_failures_named_lead_to_the_next_version(world: World) -> None:
    bad, good = await world.replica(Behaviour(status=500)), await world.replica(Behaviour(DIGEST_2))
    world.publish(planned(fallback(leaf(bad.url), second(good.url), on=["timeout", "unavailable"])))
    assert (await world.predict()).status == 502
    assert good.behaviour.requests == []


async def test_a_slow_version_leaves_time_for_the_next_one(world: World) -> None:
    slow, good = await world.replica(Behaviour(delay_s=30)), await world.replica(Behaviour(DIGEST_2))
    world.publish(planned(fallback(leaf(slow.url), second(good.url)), timeout_ms=1_000))
    answer = await world.predict()
    assert (answer.status, answer.body["version"]) == (200, 2), answer
    assert answer.headers["x-modelyard-rule"] == "fallback:stable:timeout"
    world.publish(planned(fallback(leaf(slow.url, timeout_ms=100), second(good.url)), timeout_ms=60_000, sequence=2))
    answer = await world.predict()
    assert (answer.status, answer.body["version"]) == (200, 2), answer


async def test_a_retry_budget_that_is_spent_stops_retries(world: World) -> None:
    bad, good = await world.replica(Behaviour(status=500)), await world.replica(Behaviour(DIGEST_2))
    world.publish(planned(fallback(leaf(bad.url), second(good.url), retry_budget=0.1)))
    assert [(await world.predict()).status for _ in range(4)] == [200, 502, 502, 502]


async def test_when_every_version_fails_the_last_error_is_answered_and_all_attempts_are_logged(world: World) -> None:
    one, two = await world.replica(Behaviour(status=500)), await world.replica(Behaviour(status=400))
    world.publish(planned(fallback(leaf(one.url), second(two.url))))
    answer = await world.predict()
    assert (answer.status, answer.body["code"]) == (502, "upstream_error")
    [logged] = world.logged()
    assert [attempt.version for attempt in logged.attempts] == [1, 2]
    assert (logged.status, logged.model_version) == (PredictionStatus.UPSTREAM_ERROR, 2)


async def test_a_fallback_with_another_signature_gets_the_request_in_its_own_order(world: World) -> None:
    bad, good = await world.replica(Behaviour(status=500)), await world.replica(Behaviour(DIGEST_2))
    narrow = second(good.url, feature_schema_id=leaf(signature=PRICE_ONLY)["feature_schema_id"])
    same = leaf(bad.url, feature_schema_id=narrow["feature_schema_id"])
    world.publish(planned(fallback(leaf(bad.url), narrow), signatures=(ELEC, PRICE_ONLY)))
    assert (await world.predict()).status == 502, "the request does not match the second version, so it cannot step in"
    world.publish(planned(fallback(same, narrow), signatures=(PRICE_ONLY,), sequence=2))
    answer = await world.predict({"price": 0.9})
    assert (answer.status, answer.body["class"]) == (200, "up"), answer
    assert world.logged()[-1].num_features == (0.9,)


async def test_a_shadow_copy_is_logged_beside_the_answer_and_never_changes_it(world: World) -> None:
    main, copy = await world.replica(), await world.replica(Behaviour(DIGEST_2))
    world.publish(planned(shadow(leaf(main.url), ("next", 100.0, second(copy.url)))))
    answer = await world.predict(prediction_id="p-1", entity_key="u")
    assert (answer.status, answer.body["version"], answer.headers["x-modelyard-cost-usd"]) == (200, 1, "0.001")
    await eventually(lambda: len(world.logged()) == 2)
    logged, shadowed = world.logged()
    assert (logged.prediction_id, logged.shadow_of, logged.path) == ("p-1", None, "shadow:main")
    assert (shadowed.shadow_of, shadowed.path, shadowed.model_version) == ("p-1", "shadow:next", 2)
    assert shadowed.prediction_id != "p-1"
    assert (shadowed.class_, shadowed.cost_usd) == ("up", 0.02)
    assert shadowed.entity_key_hash == logged.entity_key_hash


@pytest.mark.parametrize("behaviour", [Behaviour(status=500), Behaviour(delay_s=30), Behaviour(drop="before")])
async def test_a_broken_copy_neither_fails_nor_slows_the_answer(world: World, behaviour: Behaviour) -> None:
    main, copy = await world.replica(), await world.replica(behaviour)
    world.publish(planned(shadow(leaf(main.url), ("next", 100.0, second(copy.url))), timeout_ms=20_000))
    async with asyncio.timeout(10):
        assert [(await world.predict()).status for _ in range(5)] == [200] * 5
    live = [row for row in world.logged() if row.shadow_of is None]
    assert [row.status for row in live] == [PredictionStatus.OK] * 5


async def test_copies_beyond_the_limit_are_dropped_and_counted(make_world: Make) -> None:
    world = await make_world(max_shadow_copies=2)
    main, copy = await world.replica(), await world.replica(Behaviour(DIGEST_2, delay_s=30))
    world.publish(planned(shadow(leaf(main.url), ("next", 100.0, second(copy.url))), timeout_ms=60_000))
    assert [(await world.predict()).status for _ in range(6)] == [200] * 6
    metrics = (await world.call("GET", "/metrics")).body
    assert 'modelyard_router_shadow_copies_total{result="dropped"} 4.0' in metrics


async def test_a_session_header_is_sticky_where_the_split_is_by_session(world: World) -> None:
    one, two = await world.replica(), await world.replica(Behaviour(DIGEST_2))
    world.publish(planned(split(("a", 0.5, leaf(one.url)), ("b", 0.5, second(two.url)), unit="session")))

    async def version(session: str) -> int:
        headers = {"x-modelyard-session-id": session}
        return int((await world.call("POST", "/v1/predict/elec", {"features": ROW}, headers=headers)).body["version"])

    by_session = {session: {await version(session) for _ in range(3)} for session in map(str, range(12))}
    assert all(len(found) == 1 for found in by_session.values())
    assert set.union(*by_session.values()) == {1, 2}


async def test_many_rows_follow_the_plan_too(world: World) -> None:
    bad, good = await world.replica(Behaviour(status=503)), await world.replica(Behaviour(DIGEST_2))
    world.publish(planned(fallback(leaf(bad.url), second(good.url))))
    inputs = [
        {"name": "num", "shape": [2, 2], "datatype": "FP64", "data": [0.75, 1, 0.25, 2]},
        {"name": "cat", "shape": [2, 1], "datatype": "BYTES", "data": ["red", None]},
    ]
    answer = await world.call("POST", "/v2/models/elec/infer", {"inputs": inputs, "parameters": None})
    assert (answer.status, answer.headers["x-modelyard-version"]) == (200, "2"), answer
    assert float(answer.headers["x-modelyard-cost-usd"]) == pytest.approx(0.04)
    assert [len(row.attempts) for row in world.logged()] == [2, 2]


async def test_a_version_can_be_named_in_the_protocols_own_path(world: World) -> None:
    one, two = await world.replica(), await world.replica(Behaviour(DIGEST_2))
    world.publish(planned(split(("b", 0.0, second(two.url)), ("a", 1.0, leaf(one.url)))))
    inputs = [
        {"name": "num", "shape": [1, 2], "datatype": "FP64", "data": [0.75, 1]},
        {"name": "cat", "shape": [1, 1], "datatype": "BYTES", "data": ["red"]},
    ]
    answer = await world.call("POST", "/v2/models/elec/versions/2/infer", {"inputs": inputs})
    assert (answer.status, answer.headers["x-modelyard-version"]) == (200, "2")
    unknown = await world.call("POST", "/v2/models/elec/versions/7/infer", {"inputs": inputs})
    assert (unknown.status, unknown.body["error"]) == (404, "route elec has no version 7 (it has: 1, 2)")
    assert (await world.call("POST", "/v2/models/elec/versions/x/infer", {"inputs": inputs})).status == 400


async def explained(world: World, route: str, facts: Any) -> Answer:
    headers = {"content-type": "application/json"}
    return await world.call("POST", f"/v1/routes/{route}/explain", facts, headers=headers)


async def test_explain_shows_the_decision_without_a_call(world: World) -> None:
    replica = await world.replica()
    gold = {"fact": "header:x-tier", "op": "eq", "value": "gold"}
    main = shadow(fallback(leaf(replica.url), second(replica.url)), ("next", 100.0, leaf(replica.url, version=3)))
    world.publish(planned(rules(("gold", gold, second(replica.url)), otherwise=main)))
    answer = await explained(world, "elec", {"headers": {"X-Tier": "basic"}, "entity": "u"})
    assert answer.status == 200, answer
    assert answer.body["chosen"]["path"] == "rules:otherwise/shadow:main/fallback:0"
    assert [one["after"] for one in answer.body["fallbacks"]] == [["timeout", "unavailable", "upstream_error"]]
    assert [(copy["name"], copy["version"]) for copy in answer.body["copies"]] == [("next", 3)]
    assert answer.body["steps"][0] == {"node": "rule", "name": "gold", "matched": False}
    golden = await explained(world, "elec", {"headers": {"x-tier": "gold"}})
    assert golden.body["chosen"]["rule"] == "gold"
    assert (replica.behaviour.requests, world.logged()) == ([], [])
    assert (await explained(world, "spam", {})).status == 404
    assert (await explained(world, "elec", {"entitty": "u"})).status == 422


async def test_a_callers_own_deadline_is_not_an_error_of_the_version(world: World) -> None:
    await world.serve(Behaviour(delay_s=30), timeout_ms=60_000)
    headers = {"x-modelyard-timeout-ms": "60"}
    answer = await world.call("POST", "/v1/predict/elec", {"features": ROW}, headers=headers)
    assert (answer.status, answer.body["code"]) == (504, "caller_deadline"), answer
    [logged] = world.logged()
    assert logged.status is PredictionStatus.REJECTED
    assert [attempt.status for attempt in logged.attempts] == [PredictionStatus.REJECTED]
    assert logged.cost_usd == 0


async def test_routes_show_their_plan_and_refused_tables(world: World) -> None:
    replica = await world.replica()
    world.publish(planned(split(("a", 1.0, leaf(replica.url)))))
    world.publish(planned({"kind": "cascade", "threshold": 0.5, "first": leaf(), "then": leaf()}, route="other"))
    body = (await world.call("GET", "/v1/routes")).body
    assert [(t["path"], t["weight"], t["urls"]) for t in body["routes"][0]["targets"]] == [
        ("split:a", 1, [replica.url])
    ]
    assert body["routes"][0]["plan"]["root"]["kind"] == "split"
    [refused] = body["refused"]
    assert (refused["route"], "not executed by this release" in refused["reason"]) == ("other", True)
    answer = await world.predict(route="other")
    assert (answer.status, "cascade" in json.dumps(answer.body)) == (404, True)
