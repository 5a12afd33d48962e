"""/v1/predict: the answer to the caller and the record in the log."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from modelyard_contracts import PredictionStatus
from modelyard_contracts.signature import Signature, new_schema_id

from .conftest import ROW, SCHEMA, Make, World, table, target
from .replica import DIGEST_1, DIGEST_2, Behaviour


@pytest.fixture(params=["asgi", "socket"])
def transport(request: pytest.FixtureRequest) -> str:
    """Every test here runs on the ordinary path and on the fast path."""
    return str(request.param)


async def test_an_answer_names_its_version_and_is_logged_with_the_same_values(world: World) -> None:
    replica = await world.serve()
    answer = await world.predict(entity_key="user-7")
    assert answer.status == 200, answer
    assert world.server is None or world.server.fast_requests == 1, "it took the ordinary path"
    prediction_id = answer.body["prediction_id"]
    assert answer.body == {
        "prediction_id": prediction_id,
        "model": "elec",
        "version": 1,
        "digest": DIGEST_1,
        "class": "up",
        "score": 0.75,
        "scores": {"down": 0.25, "up": 0.75},
        "route": "elec",
        "variant": "stable",
    }
    expected = {
        "request-id": prediction_id,
        "model": "elec",
        "version": "1",
        "digest": DIGEST_1,
        "route": "elec",
        "variant": "stable",
        "rule": "all",
        "attempts": "1",
        "cost-usd": "0.001",
    }
    assert {name: answer.headers[f"x-modelyard-{name}"] for name in expected} == expected
    assert float(answer.headers["x-modelyard-overhead-ms"]) >= 0
    assert replica.behaviour.requests == [
        {
            "inputs": [
                {"name": "num", "shape": [1, 2], "datatype": "FP64", "data": [0.75, 3.0]},
                {"name": "cat", "shape": [1, 1], "datatype": "BYTES", "data": ["red"]},
            ]
        }
    ]
    [logged] = world.logged()
    assert (logged.prediction_id, logged.model_version, logged.model_digest) == (prediction_id, 1, DIGEST_1)
    assert (logged.num_features, logged.cat_features, logged.feature_schema_id) == (
        (0.75, 3.0),
        ("red",),
        new_schema_id(SCHEMA),
    )
    assert (logged.class_, logged.score, logged.scores) == ("up", 0.75, (0.25, 0.75))
    assert (logged.route, logged.route_sequence, logged.variant, logged.rule) == ("elec", 1, "stable", "all")
    assert (logged.status, len(logged.attempts), logged.cost_usd) == (PredictionStatus.OK, 1, 0.001)
    assert 0 <= logged.overhead_ms <= logged.latency_ms
    assert logged.entity_key_hash is not None and "user-7" not in logged.entity_key_hash
    assert logged.event_id.version == 4


async def test_what_a_canary_answers_and_costs_is_in_its_record(world: World) -> None:
    """Nothing in it is a constant: class, score and cost follow the answer and the version."""
    stable, canary = await world.replica(), await world.replica(Behaviour(digest=DIGEST_2))
    to_canary = target(canary.url, variant="canary", version=2, digest=DIGEST_2, weight=0.5)
    dear = replace(to_canary, node={**to_canary.node, "price": {"usd_per_call": 0.25}})
    world.publish(table(dear, target(stable.url, weight=0.5)))
    for place in range(60):
        await world.predict({**ROW, "price": place / 60}, entity_key=f"user-{place}")
    logged = [one for one in world.logged() if one.variant == "canary"]
    assert 10 < len(logged) < 50
    assert {one.class_ for one in logged} == {"up", "down"}
    assert len({one.score for one in logged}) == len(logged)
    assert {(one.model_version, one.model_digest, one.cost_usd) for one in logged} == {(2, DIGEST_2, 0.25)}
    assert all(one.num_features[0] == one.score for one in logged), "the replica answers by its first number"
    assert {one.cost_usd for one in world.logged()} == {0.25, 0.001}


async def test_the_list_form_and_the_callers_own_id_are_kept(world: World) -> None:
    await world.serve()
    answer = await world.predict([0.2, None, 3], prediction_id="mine-1")
    assert (answer.status, answer.body["prediction_id"], answer.body["class"]) == (200, "mine-1", "down")
    [logged] = world.logged()
    assert (logged.num_features, logged.cat_features) == ((0.2, 3.0), (None,))
    assert UUID((await world.predict()).body["prediction_id"]).version == 4


BROKEN: list[tuple[Any, str, str]] = [
    ({"price": 1, "colour": "red"}, "demand", "absent; send it"),
    ({"price": 1, "demand": 1}, "colour", "as null when the value is missing"),
    ({**ROW, "weight": 1}, "weight", "not known to this version; remove it"),
    ({**ROW, "price": "0.5"}, "price", "is a string; send a number without quotes"),
    ({**ROW, "price": True}, "price", "is not a number"),
    ({**ROW, "price": [1]}, "price", "is not a number"),
    ({**ROW, "colour": 5}, "colour", "is not a string"),
    ({**ROW, "demand": None}, "demand", "null is not allowed"),
    ([1, "red"], "features", "2 values; this version takes 3: price, colour, demand"),
    ([1, "red", "3"], "demand", "is a string"),
    ("price=1", "features", "must be an object"),
]


@pytest.mark.parametrize(("features", "field", "says"), BROKEN)
async def test_a_breach_of_the_contract_names_the_feature_and_the_remedy(
    world: World, features: Any, field: str, says: str
) -> None:
    replica = await world.serve()
    answer = await world.predict(features)
    assert (answer.status, answer.body["code"], answer.body["field"]) == (422, "contract", field), answer.body
    assert says in answer.body["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert replica.behaviour.requests == []
    assert world.logged() == []


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
async def test_numbers_that_json_does_not_have_are_refused_by_the_features_name(world: World, literal: str) -> None:
    await world.serve()
    body = b'{"features": {"colour": "NaN", "demand": %b, "price": 1}}' % literal.encode()
    answer = await world.call("POST", "/v1/predict/elec", body)
    assert (answer.status, answer.body["field"]) == (422, "demand"), answer.body
    assert "finite number" in answer.body["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"features": {}} x',
        b'\xff{"features":{}}',
        b'{"feature": {"price": 1}}',
        b"\x00" * 9,
    ],
)
async def test_a_body_that_is_no_request_is_refused_with_a_sentence(world: World, body: bytes) -> None:
    await world.serve()
    answer = await world.call("POST", "/v1/predict/elec", body)
    assert (answer.status, answer.body["code"]) == (422, "contract"), answer.body


@pytest.mark.parametrize(
    "more", [{"prediction_id": "a b"}, {"prediction_id": "x\r\ny: z"}, {"entity_key": ""}, {"x": 1}]
)
async def test_ids_that_cannot_be_sent_in_a_header_and_unknown_fields_are_refused(world: World, more: Any) -> None:
    await world.serve()
    answer = await world.predict(**more)
    assert (answer.status, answer.body["field"]) == (422, next(iter(more)))


async def test_an_unknown_route_is_refused_with_the_known_ones(world: World) -> None:
    await world.serve()
    answer = await world.predict(route="spam")
    assert (answer.status, answer.body["code"]) == (404, "unknown_route")
    assert "elec" in answer.body["detail"]


async def test_keys_are_needed_and_scopes_hold(world: World) -> None:
    await world.serve()
    for key in (None, "wrong-key", ""):
        for method, path in (("POST", "/v1/predict/elec"), ("POST", "/v1/feedback"), ("GET", "/v1/routes")):
            answer = await world.call(method, path, {"features": ROW}, key=key)
            # The registry is unreachable, so an unknown key cannot be checked: 503, never access.
            assert answer.status in (401, 503), (key, path, answer)
    assert (await world.call("GET", "/health/live", key=None)).status == 200


async def test_a_dead_replica_is_replaced_by_the_next_one(world: World) -> None:
    dead, alive = await world.replica(), await world.replica()
    world.publish(table(target(dead.url, alive.url)))
    await asyncio.gather(*(world.predict() for _ in range(8)))
    await dead.die()
    answers = await asyncio.gather(*(world.predict() for _ in range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    assert {answer.body["variant"] for answer in answers} == {"stable"}


async def test_another_target_steps_in_when_all_replicas_of_one_are_gone(world: World) -> None:
    gone, stable = await world.replica(Behaviour(DIGEST_2)), await world.replica()
    await gone.die()
    canary = target(gone.url, variant="canary", version=2, digest=DIGEST_2, weight=1.0)
    world.publish(table(canary, target(stable.url, weight=0.0)))
    answer = await world.predict()
    assert (answer.status, answer.body["version"], answer.body["variant"]) == (200, 1, "stable")
    assert answer.headers["x-modelyard-rule"] == "fallback:canary:connect"
    assert answer.headers["x-modelyard-attempts"] == "2"
    [logged] = world.logged()
    assert (logged.variant, len(logged.attempts), logged.rule) == ("stable", 2, "fallback:canary:connect")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (Behaviour(status=503), "status_503"),
        (Behaviour(drop="before"), "reset"),
        (Behaviour(drop="middle"), "reset"),
        (Behaviour(digest=DIGEST_2), "wrong_version"),
    ],
)
async def test_a_replica_that_is_draining_broken_or_anothers_is_passed_over(
    world: World, behaviour: Behaviour, reason: str
) -> None:
    bad, good = await world.replica(behaviour), await world.replica()
    canary = target(bad.url, variant="canary", version=2, weight=1.0)
    world.publish(table(canary, target(good.url, weight=0.0)))
    answer = await world.predict()
    assert (answer.status, answer.headers["x-modelyard-rule"]) == (200, f"fallback:canary:{reason}")


async def test_no_replica_at_all_is_503_and_logged(world: World) -> None:
    replica = await world.serve()
    await replica.die()
    answer = await world.predict()
    assert (answer.status, answer.body["code"], answer.headers["retry-after"]) == (503, "upstream_unavailable", "1")
    [logged] = world.logged()
    assert (logged.status, logged.class_, logged.score) == (PredictionStatus.UNAVAILABLE, None, None)


@pytest.mark.parametrize(
    "behaviour", [Behaviour(status=500), Behaviour(status=400), Behaviour(body=b"{}"), Behaviour(body=b"no json")]
)
async def test_an_error_of_the_version_is_its_own_and_not_hidden_by_a_fallback(
    world: World, behaviour: Behaviour
) -> None:
    bad, good = await world.replica(behaviour), await world.replica()
    canary = target(bad.url, variant="canary", version=2, weight=1.0)
    world.publish(table(canary, target(good.url, weight=0.0)))
    answer = await world.predict()
    assert (answer.status, answer.body["code"]) == (502, "upstream_error")
    assert answer.headers["x-modelyard-variant"] == "canary"
    [logged] = world.logged()
    assert (logged.status, logged.variant) == (PredictionStatus.UPSTREAM_ERROR, "canary")
    assert good.behaviour.requests == []


TENSORS = [
    {"name": "price", "shape": [1], "datatype": "FP64", "data": [1e306]},
    {"name": "colour", "shape": [1], "datatype": "BYTES", "data": ["red"]},
    {"name": "demand", "shape": [1], "datatype": "FP64", "data": [3]},
]
REFUSAL = b'{"error": "input price: the model has no answer for this", "code": "%b", "field": "price"}'


async def test_numbers_that_the_model_has_no_answer_for_are_the_callers_and_no_evidence_against_it(
    world: World,
) -> None:
    await world.serve(Behaviour(status=400, body=REFUSAL % b"out_of_range"))
    answers = [
        await world.predict({**ROW, "price": 1e306}),
        await world.call("POST", "/v2/models/elec/infer", {"inputs": TENSORS}),
    ]
    for answer in answers:
        assert (answer.status, answer.body["code"], answer.body["field"]) == (422, "out_of_range", "price")
    assert {one.status for one in world.logged()} == {PredictionStatus.REJECTED}


async def test_any_other_refusal_of_a_checked_request_is_an_error_of_the_version(world: World) -> None:
    await world.serve(Behaviour(status=400, body=REFUSAL % b"bad_request"))
    answer = await world.predict()
    assert (answer.status, answer.body["code"]) == (502, "upstream_error")
    assert [one.status for one in world.logged()] == [PredictionStatus.UPSTREAM_ERROR]


async def test_a_slow_upstream_is_given_up_at_the_deadline(world: World) -> None:
    await world.serve(Behaviour(delay_s=5), timeout_ms=100)
    answer = await world.predict()
    assert (answer.status, answer.body["code"]) == (504, "upstream_timeout")
    [logged] = world.logged()
    assert logged.status is PredictionStatus.TIMEOUT
    assert 90 <= logged.latency_ms < 4_000


async def test_the_callers_shorter_deadline_holds_and_travels_on(world: World) -> None:
    replica = await world.serve(timeout_ms=5_000)
    headers = {"x-modelyard-timeout-ms": "700"}
    assert (await world.call("POST", "/v1/predict/elec", {"features": ROW}, headers=headers)).status == 200
    assert 0 < int(replica.behaviour.headers[0]["x-modelyard-timeout-ms"]) <= 701
    bad = await world.call("POST", "/v1/predict/elec", {"features": ROW}, headers={"x-modelyard-timeout-ms": "soon"})
    assert bad.status == 422


async def test_oversized_bodies_are_refused_declared_or_not(make_world: Make) -> None:
    world = await make_world(max_body_bytes=1_000)
    await world.serve()
    assert (await world.call("POST", "/v1/predict/elec", b" " * 1_001)).status == 413
    answer = await world.call("POST", "/v1/predict/elec", parts=[b" " * 400] * 5)
    assert (answer.status, answer.headers["connection"]) == (413, "close")


async def test_a_body_in_parts_is_put_together(world: World) -> None:
    await world.serve()
    parts = [b'{"features": {"price": 0.75,', b'"colour": null, ', b'"demand": 1}}']
    assert (await world.call("POST", "/v1/predict/elec", parts=parts)).body["class"] == "up"


async def test_more_than_the_limit_in_flight_is_503_with_retry_after(make_world: Make) -> None:
    world = await make_world(max_in_flight=2)
    await world.serve(Behaviour(delay_s=0.3))
    answers = await asyncio.gather(*(world.predict() for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 200, 503, 503, 503]
    assert {a.headers["retry-after"] for a in answers if a.status == 503} == {"1"}


async def test_targets_with_different_contracts_check_the_one_that_is_chosen(world: World) -> None:
    narrow = Signature(columns=SCHEMA.columns[:1], output=SCHEMA.output)
    one, two = await world.replica(), await world.replica(Behaviour(DIGEST_2))
    old = target(one.url, weight=0.0)
    new = target(two.url, variant="canary", version=2, digest=DIGEST_2, weight=1.0, schema=narrow)
    world.publish(table(old, new, schemas=(SCHEMA, narrow)))
    assert (await world.predict({"price": 0.9})).body["version"] == 2
    answer = await world.predict(ROW)
    assert (answer.status, answer.body["field"]) == (422, "colour")
    await two.die()
    assert (await world.predict({"price": 0.9})).status == 503, "a target of another contract is no fallback"


async def test_the_trace_of_a_request_goes_on_to_the_replica_and_the_log(world: World) -> None:
    replica = await world.serve()
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    await world.call("POST", "/v1/predict/elec", {"features": ROW}, headers={"traceparent": trace})
    assert replica.behaviour.headers[0]["traceparent"] == trace
    world.app.spool.seek(0)
    assert world.app.spool.read(1, 1000)[0].trace == trace.encode()
