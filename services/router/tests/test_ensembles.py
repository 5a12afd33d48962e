"""Ensembles over real connections: the combined answer, the votes in answer and record, and members that fail."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_contracts import PredictionStatus
from modelyard_contracts.inference import Answer as Row
from modelyard_contracts.signature import Output, Task
from modelyard_devstack.testing import eventually
from modelyard_router.domain.votes import Vote, combine
from modelyard_router.plan.compile import compile_route

from .conftest import World
from .plans import ELEC, Node, ensemble, fallback, leaf, planned, shadow, split
from .replica import Behaviour

DIGESTS = ["sha256:" + str(number) * 64 for number in range(1, 8)]
PRICE = ELEC.model_copy(update={"output": Output(task=Task.REGRESSION, name="price")})
THREE = ELEC.model_copy(update={"output": Output(task=Task.MULTICLASS, classes=("a", "b", "c"))})


@pytest.fixture(params=["asgi", "socket"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def scored(up: float, request: dict[str, Any], digest: str) -> bytes:
    """p(up) for every row."""
    rows = request["inputs"][0]["shape"][0]
    outputs = [
        {"name": "class", "shape": [rows], "datatype": "BYTES", "data": ["up" if up > 0.5 else "down"] * rows},
        {"name": "scores", "shape": [rows, 2], "datatype": "FP64", "data": [1 - up, up] * rows},
    ]
    return json.dumps({"outputs": outputs, "parameters": {"digest": digest}}).encode()


def valued(value: float, request: dict[str, Any], digest: str) -> bytes:
    outputs = [{"name": "value", "shape": [1], "datatype": "FP64", "data": [value]}]
    return json.dumps({"outputs": outputs, "parameters": {"digest": digest}}).encode()


async def member(world: World, version: int, answer: Callable[..., bytes] | None = None, **behaviour: Any) -> Node:
    digest = DIGESTS[version - 1]
    replica = await world.replica(Behaviour(digest, answer=answer, **behaviour))
    return leaf(replica.url, version=version, digest=digest)


async def up(world: World, version: int, score: float, **behaviour: Any) -> Node:
    return await member(world, version, partial(scored, score), **behaviour)


async def test_the_answer_is_the_weighted_mean_of_the_members_probabilities(world: World) -> None:
    one, two, three = await up(world, 1, 0.9), await up(world, 2, 0.2), await up(world, 3, 0.4)
    world.publish(planned(ensemble((0.2, one), (0.5, two), (0.3, three))))
    answer = await world.predict(prediction_id="p-1")
    assert answer.status == 200, answer
    assert answer.body["scores"] == pytest.approx({"down": 0.6, "up": 0.4})  # 0.2 * 0.9 + 0.5 * 0.2 + 0.3 * 0.4
    assert (answer.body["class"], answer.body["score"]) == ("down", pytest.approx(0.4))
    assert (answer.body["version"], answer.headers["x-modelyard-version"]) == (1, "1"), "the first member leads"
    assert [(vote["version"], vote["weight"], vote["class"], vote["score"]) for vote in answer.body["votes"]] == [
        (1, 0.2, "up", 0.9),
        (2, 0.5, "down", 0.2),
        (3, 0.3, "down", 0.4),
    ]
    assert answer.headers["x-modelyard-attempts"] == "3"
    assert float(answer.headers["x-modelyard-cost-usd"]) == pytest.approx(0.003)


async def test_the_record_names_members_weights_and_single_answers(world: World) -> None:
    one, two = await up(world, 1, 0.9), await up(world, 2, 0.2)
    world.publish(planned(ensemble((0.75, one), (0.25, two))))
    await world.predict(prediction_id="p-1")
    [logged] = world.logged()
    assert (logged.model_version, logged.class_, logged.path) == (1, "up", "ensemble:0")
    assert logged.scores == pytest.approx((0.275, 0.725))
    assert [(vote.path, vote.version, vote.digest, vote.weight, vote.class_, vote.score) for vote in logged.votes] == [
        ("ensemble:0", 1, DIGESTS[0], 0.75, "up", 0.9),
        ("ensemble:1", 2, DIGESTS[1], 0.25, "down", 0.2),
    ]
    assert [(attempt.version, attempt.status) for attempt in logged.attempts] == [
        (1, PredictionStatus.OK),
        (2, PredictionStatus.OK),
    ]
    assert logged.cost_usd == pytest.approx(0.002)


async def test_in_a_hard_vote_each_member_gives_its_weight_to_its_class(world: World) -> None:
    sure, two, three = await up(world, 1, 0.99), await up(world, 2, 0.45), await up(world, 3, 0.45)
    world.publish(planned(ensemble((0.4, sure), (0.35, two), (0.25, three), combiner="hard")))
    answer = await world.predict()
    assert (answer.body["class"], answer.body["scores"]) == ("down", pytest.approx({"down": 0.6, "up": 0.4}))


async def test_regressions_answer_the_weighted_mean(world: World) -> None:
    nodes = [
        {**await member(world, version, partial(valued, value)), "feature_schema_id": feature_schema_id}
        for feature_schema_id in [leaf(signature=PRICE)["feature_schema_id"]]
        for version, value in ((1, 10.0), (2, 30.0))
    ]
    root = ensemble((0.75, nodes[0]), (0.25, nodes[1]), combiner="mean")
    world.publish(planned(root, signatures=(PRICE,)))
    answer = await world.predict()
    assert (answer.status, answer.body["value"]) == (200, 15.0), answer
    assert [(vote["version"], vote["value"]) for vote in answer.body["votes"]] == [(1, 10.0), (2, 30.0)]
    [logged] = world.logged()
    assert (logged.score, [vote.score for vote in logged.votes]) == (15.0, [10.0, 30.0])


@pytest.mark.parametrize(
    "broken", [{"status": 500}, {"drop": "before"}, {"body": b'{"outputs": [], "parameters": {}}'}], ids=str
)
async def test_a_member_that_fails_does_not_vote(world: World, broken: dict[str, Any]) -> None:
    bad, good, other = await member(world, 1, **broken), await up(world, 2, 0.9), await up(world, 3, 0.6)
    world.publish(planned(ensemble((0.5, bad), (0.3, good), (0.2, other))))
    answer = await world.predict()
    assert (answer.status, answer.body["version"]) == (200, 2), answer
    assert answer.body["score"] == pytest.approx(0.78)  # weights 0.6 and 0.4 of the two that voted
    [logged] = world.logged()
    assert [vote.version for vote in logged.votes] == [2, 3]
    failed = [attempt for attempt in logged.attempts if attempt.status is not PredictionStatus.OK]
    assert {attempt.version for attempt in failed} == {1}


async def test_a_score_that_is_no_number_is_no_vote(world: World) -> None:
    def not_a_number(request: dict[str, Any], digest: str) -> bytes:
        return scored(0.5, request, digest).replace(b"0.5", b"NaN")

    bad, good = await member(world, 1, not_a_number), await up(world, 2, 0.9)
    world.publish(planned(ensemble((0.9, bad), (0.1, good))))
    answer = await world.predict()
    assert (answer.status, answer.body["score"]) == (200, 0.9), answer


async def test_a_slow_member_is_left_out_after_the_deadline_of_the_ensemble(world: World) -> None:
    slow, good = await up(world, 1, 0.1, delay_s=60), await up(world, 2, 0.9)
    world.publish(planned(ensemble((0.9, slow), (0.1, good), deadline_ms=150), timeout_ms=50_000))
    async with asyncio.timeout(25):
        answer = await world.predict()
    assert (answer.status, answer.body["version"]) == (200, 2), answer
    [logged] = world.logged()
    assert {attempt.version: attempt.status for attempt in logged.attempts} == {
        1: PredictionStatus.TIMEOUT,
        2: PredictionStatus.OK,
    }


async def test_a_member_without_replicas_does_not_stop_the_others(world: World) -> None:
    world.publish(planned(ensemble((0.9, leaf(version=1)), (0.1, await up(world, 2, 0.9)))))
    answer = await world.predict()
    assert (answer.status, answer.body["version"]) == (200, 2), answer


async def test_without_a_quorum_the_failing_member_is_charged(world: World) -> None:
    good, bad = await up(world, 1, 0.9), await member(world, 2, status=500)
    world.publish(planned(ensemble((0.9, good), (0.1, bad), quorum=2)))
    answer = await world.predict()
    assert (answer.status, answer.body["code"]) == (502, "upstream_error"), answer
    [logged] = world.logged()
    assert (logged.status, logged.model_version, logged.votes) == (PredictionStatus.UPSTREAM_ERROR, 2, ())


async def test_an_ensemble_counts_as_one_try_of_a_fallback(world: World) -> None:
    bad = [await member(world, version, status=500) for version in range(1, 5)]
    good = await up(world, 5, 0.9)
    members = [(1.0, node) for node in bad]
    world.publish(planned(fallback(ensemble(*members), good, max_attempts=2)))
    answer = await world.predict()
    assert (answer.status, answer.body["version"]) == (200, 5), answer
    [logged] = world.logged()
    assert (len(logged.attempts), logged.path, logged.votes) == (5, "fallback:1", ())


async def test_a_member_may_have_a_fallback_of_its_own(world: World) -> None:
    bad, spare, other = await member(world, 1, status=500), await up(world, 2, 0.9), await up(world, 3, 0.1)
    world.publish(planned(ensemble((0.8, fallback(bad, spare)), (0.2, other))))
    answer = await world.predict()
    assert [(vote["version"], vote["path"]) for vote in answer.body["votes"]] == [
        (2, "ensemble:0/fallback:1"),
        (3, "ensemble:1"),
    ]


async def test_rows_of_an_infer_request_are_combined_one_by_one(world: World) -> None:
    root = ensemble((0.5, await member(world, 1)), (0.5, await up(world, 2, 0.5)))  # the first answers p(up) = price
    world.publish(planned(root))
    numbers = {"name": "num", "datatype": "FP64", "shape": [2, 2], "data": [0.9, 1, 0.1, 1]}
    words = {"name": "cat", "datatype": "BYTES", "shape": [2, 1], "data": ["red", "red"]}
    answer = await world.call("POST", "/v2/models/elec/infer", {"id": "r-1", "inputs": [numbers, words]})
    assert answer.status == 200, answer
    outputs = {output["name"]: output["data"] for output in answer.body["outputs"]}
    assert (answer.body["id"], outputs["class"]) == ("r-1", ["up", "down"])
    assert outputs["scores"] == pytest.approx([0.3, 0.7, 0.7, 0.3])
    assert [(vote["version"], vote["score"]) for vote in answer.body["parameters"]["votes"]] == [
        (1, [0.9, 0.1]),
        (2, [0.5, 0.5]),
    ]
    assert [[vote.score for vote in row.votes] for row in world.logged()] == [[0.9, 0.5], [0.1, 0.5]]


async def test_an_ensemble_can_be_tried_as_a_shadow(world: World) -> None:
    main, one, two = await up(world, 1, 0.9), await up(world, 2, 0.2), await up(world, 3, 0.4)
    world.publish(planned(shadow(main, ("vote", 100.0, ensemble((0.5, one), (0.5, two))))))
    answer = await world.predict(prediction_id="p-1")
    assert (answer.body["version"], "votes" in answer.body) == (1, False)
    await eventually(lambda: len(world.logged()) == 2)
    [copy] = [row for row in world.logged() if row.shadow_of == "p-1"]
    assert (copy.class_, len(copy.votes)) == ("down", 2)
    assert copy.score == pytest.approx(0.3)


async def test_explain_names_the_members(world: World) -> None:
    world.publish(planned(ensemble((0.7, await up(world, 1, 0.9)), (0.3, await up(world, 2, 0.9)))))
    answer = await world.call("POST", "/v1/routes/elec/explain", {}, headers={"content-type": "application/json"})
    assert (answer.status, answer.body["chosen"]["version"]) == (200, 1), answer
    [step] = answer.body["steps"]
    assert [(one["weight"], one["version"]) for one in step["members"]] == [(0.7, 1), (0.3, 2)]


WEIGHTS = st.lists(st.floats(0.001, 1), min_size=1, max_size=6)


@given(WEIGHTS, st.data())
def test_soft_and_hard_votes_agree_with_numpy(weights: list[float], data: st.DataObject) -> None:
    voter = compile_route(planned(leaf("http://127.0.0.1:9", signature=THREE), signatures=(THREE,))).leaves[0]
    raw = [data.draw(st.lists(st.floats(0.01, 1), min_size=3, max_size=3)) for _ in weights]
    shares = np.array([np.array(scores) / sum(scores) for scores in raw])
    names = [THREE.output.classes[int(each.argmax())] for each in shares]
    votes = [
        Vote(voter, weight, [Row(name, max(scores), tuple(scores))])
        for weight, name, scores in zip(weights, names, shares.tolist(), strict=True)
    ]
    [soft], [hard] = combine("soft", votes), combine("hard", votes)
    assert soft.scores == pytest.approx(np.average(shares, axis=0, weights=weights))
    ballots = np.array([[name == own for name in THREE.output.classes] for own in names])
    assert hard.scores == pytest.approx(np.average(ballots, axis=0, weights=weights))
    for answer in (soft, hard):
        assert answer.score == max(answer.scores) == answer.scores[THREE.output.classes.index(str(answer.class_))]


async def test_the_lead_is_the_first_member_of_the_plan_whatever_the_weights_are(world: World) -> None:
    lead, heavy = await up(world, 4, 0.6), await up(world, 2, 0.9)
    world.publish(planned(ensemble((0.1, lead), (0.9, heavy))))
    await world.predict()
    [logged] = world.logged()
    assert (logged.model_version, logged.model_digest, logged.path) == (4, DIGESTS[3], "ensemble:0")
    assert [(vote.version, vote.weight) for vote in logged.votes] == [(4, 0.1), (2, 0.9)]


async def test_a_drawn_member_answers_alone_and_its_answer_is_logged_as_a_vote_with_its_weight(world: World) -> None:
    one, two = await up(world, 1, 0.9), await up(world, 2, 0.2)
    world.publish(planned({**split(("v1", 0.75, one), ("v2", 0.25, two), unit="request"), "draw": True}))
    answers = [await world.predict(prediction_id=f"p-{number}") for number in range(40)]
    assert {answer.body["version"] for answer in answers} == {1, 2}
    expected = {1: (DIGESTS[0], 0.75, "up", 0.9), 2: (DIGESTS[1], 0.25, "down", 0.2)}
    for logged in world.logged():
        [vote] = logged.votes
        assert (vote.version, vote.path) == (logged.model_version, logged.path)
        assert (vote.digest, vote.weight, vote.class_, vote.score) == expected[vote.version]
        assert (logged.class_, logged.score) == (vote.class_, vote.score)


async def test_a_drawn_member_that_fails_has_no_vote(world: World) -> None:
    bad = await member(world, 1, status=500)
    world.publish(planned({**split(("v1", 1.0, bad), unit="request"), "draw": True}))
    await world.predict()
    [logged] = world.logged()
    assert (logged.status, logged.votes) == (PredictionStatus.UPSTREAM_ERROR, ())


async def test_the_arms_of_an_ordinary_split_are_no_votes(world: World) -> None:
    world.publish(planned(split(("stable", 1.0, await up(world, 1, 0.9)))))
    await world.predict()
    [logged] = world.logged()
    assert (logged.status, logged.votes) == (PredictionStatus.OK, ())
