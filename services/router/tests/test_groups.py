"""Members of an ensemble in one model server: one call asks all of them, and everything else stays as it was."""

import asyncio
from functools import partial
from typing import Any

import pytest

from modelyard_contracts import PredictionStatus as Status
from modelyard_contracts.signature import Column

from .conftest import ROW, World
from .plans import ELEC, Node, ensemble, fallback, leaf, planned
from .replica import Behaviour, Replica
from .test_ensembles import DIGESTS, scored

ALSO_NEW = ELEC.model_copy(update={"columns": (*ELEC.columns, Column(name="extra"))})


@pytest.fixture(params=["asgi", "socket"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def up(version: int, score: float, **more: Any) -> Behaviour:
    return Behaviour(DIGESTS[version - 1], answer=partial(scored, score), **more)


async def shared(world: World, *members: Behaviour, **more: Any) -> Replica:
    """A model server with the versions 1, 2, ..."""
    return await world.replica(Behaviour(members=dict(enumerate(members, start=1)), **more))


def nodes(replica: Replica, *versions: int, urls: tuple[str, ...] = (), **fields: Any) -> list[Node]:
    return [leaf(replica.url, *urls, version=v, digest=DIGESTS[v - 1], **fields) for v in versions]


def vote(*members: Node, **fields: Any) -> Node:
    return ensemble(*((1 / len(members), node) for node in members), **fields)


def statuses(world: World) -> dict[int, Status]:
    return {attempt.version: attempt.status for attempt in world.logged()[-1].attempts}


async def test_one_call_asks_all_members_and_the_answer_is_that_of_single_calls(world: World) -> None:
    one = await shared(world, up(1, 0.9), up(2, 0.2), up(3, 0.4))
    world.publish(planned(ensemble(*zip((0.2, 0.5, 0.3), nodes(one, 1, 2, 3), strict=True))))
    answers = [await world.predict(prediction_id="p-1")]
    assert one.behaviour.paths == ["/v2/models/elec/versions/1,2,3/infer"]
    alone = [await world.replica(up(v, score)) for v, score in ((1, 0.9), (2, 0.2), (3, 0.4))]
    singles = [nodes(replica, v)[0] for v, replica in enumerate(alone, start=1)]
    world.publish(planned(ensemble(*zip((0.2, 0.5, 0.3), singles, strict=True)), sequence=2))
    answers.append(await world.predict(prediction_id="p-1"))
    assert answers[0].body == answers[1].body
    fixed = [{k: v for k, v in one.headers.items() if k.startswith("x-") and "overhead" not in k} for one in answers]
    assert fixed[0] == fixed[1]
    first, second = world.logged()
    assert (first.votes, first.scores, first.cost_usd) == (second.votes, second.scores, second.cost_usd)
    assert [(one.version, one.status) for one in first.attempts] == [(1, Status.OK), (2, Status.OK), (3, Status.OK)]
    assert [(one.version, one.cost_usd) for one in first.attempts] == [(v, 0.001) for v in (1, 2, 3)]


async def test_the_latency_of_a_member_is_the_call_without_the_predictions_of_the_others(world: World) -> None:
    one = await shared(world, up(1, 0.9, status=500), up(2, 0.2), delay_s=0.05)
    world.publish(planned(vote(*nodes(one, 1, 2))))
    await world.predict()
    [logged] = world.logged()
    assert logged.attempts[0].latency_ms == logged.attempts[1].latency_ms, "both took 2 ms of the 4"
    assert 48 <= logged.attempts[1].latency_ms < logged.latency_ms


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        ({"status": 500}, Status.UPSTREAM_ERROR),
        ({"status": 404}, Status.UNAVAILABLE),
        ({"status": 503}, Status.UNAVAILABLE),
        ({"status": 504}, Status.TIMEOUT),
        ({"body": b'{"outputs": [], "parameters": {}}'}, Status.UPSTREAM_ERROR),
        (
            {"body": scored(0.5, {"inputs": [{"shape": [1]}]}, DIGESTS[0]).replace(b"0.5", b"null")},
            Status.UPSTREAM_ERROR,
        ),
        ({"digest": DIGESTS[5]}, Status.UNAVAILABLE),
    ],
    ids=str,
)
async def test_a_member_that_fails_does_not_vote(world: World, behaviour: dict[str, Any], status: Status) -> None:
    bad = Behaviour(**{"digest": DIGESTS[0], "answer": partial(scored, 0.1), **behaviour})
    one = await shared(world, bad, up(2, 0.9), up(3, 0.6))
    world.publish(planned(ensemble(*zip((0.5, 0.3, 0.2), nodes(one, 1, 2, 3), strict=True))))
    answer = await world.predict()
    assert (answer.status, answer.body["version"]) == (200, 2), answer
    assert answer.body["score"] == pytest.approx(0.78)
    assert statuses(world) == {1: status, 2: Status.OK, 3: Status.OK}
    assert len(one.behaviour.paths) == 1


async def test_a_member_that_the_server_leaves_out_is_unavailable(world: World) -> None:
    one = await shared(world, up(1, 0.9), up(2, 0.9), absent={1})
    world.publish(planned(vote(*nodes(one, 1, 2))))
    assert (await world.predict()).body["version"] == 2
    assert statuses(world) == {1: Status.UNAVAILABLE, 2: Status.OK}


async def test_an_older_server_is_asked_for_each_member_and_not_tried_that_way_again(world: World) -> None:
    old = await world.replica(Behaviour(DIGESTS[0], answer=partial(scored, 0.9)))
    world.publish(planned(vote(*nodes(old, 1), *nodes(old, 2))))
    for _ in range(2):
        assert (await world.predict()).status == 200
    assert sorted(old.behaviour.paths) == [
        "/v2/models/elec/versions/1,2/infer",
        *["/v2/models/elec/versions/1/infer"] * 2,
        *["/v2/models/elec/versions/2/infer"] * 2,
    ]
    assert statuses(world) == {1: Status.OK, 2: Status.UNAVAILABLE}, "the other version answers there"


async def test_when_the_server_is_gone_another_replica_answers_for_each_member(world: World) -> None:
    one, two = await shared(world, up(1, 0.9), up(2, 0.7)), await shared(world, up(1, 0.9), up(2, 0.7))
    world.publish(planned(vote(*nodes(one, 1, 2, urls=(two.url,)))))
    await one.die()
    for _ in range(3):
        answer = await world.predict()
        assert (answer.status, answer.body["score"]) == (200, pytest.approx(0.8)), answer
    assert all(vote.class_ == "up" for logged in world.logged() for vote in logged.votes)


async def test_when_all_servers_are_gone_the_fallback_answers(world: World) -> None:
    one, spare = await shared(world, up(1, 0.9), up(2, 0.7)), await world.replica(up(3, 0.6))
    world.publish(planned(fallback(vote(*nodes(one, 1, 2)), nodes(spare, 3)[0])))
    await one.die()
    answer = await world.predict()
    assert (answer.status, answer.body["version"]) == (200, 3), answer
    assert statuses(world) == {1: Status.UNAVAILABLE, 2: Status.UNAVAILABLE, 3: Status.OK}


async def test_members_elsewhere_or_with_another_signature_are_asked_by_themselves(world: World) -> None:
    one = await shared(world, up(1, 0.9), up(2, 0.7), up(3, 0.5), up(4, 0.3))
    other = await world.replica(up(5, 0.1))
    members = [
        *nodes(one, 1, 2),
        *nodes(one, 3, signature=ALSO_NEW),
        *nodes(one, 4, timeout_ms=4_000),
        *nodes(other, 5),
    ]
    world.publish(planned(vote(*members), signatures=(ELEC, ALSO_NEW)))
    answer = await world.predict({**ROW, "extra": 1.0})
    world.publish(planned(vote(*nodes(one, 1, 2), *nodes(one, 4, timeout_ms=4_000), *nodes(other, 5)), sequence=2))
    answer = await world.predict()
    assert [one["version"] for one in answer.body["votes"]] == [1, 2, 4, 5]
    assert answer.body["score"] == pytest.approx((0.9 + 0.7 + 0.3 + 0.1) / 4)
    assert set(one.behaviour.paths[-2:]) == {"/v2/models/elec/versions/1,2/infer", "/v2/models/elec/versions/4/infer"}


async def test_the_server_is_given_less_time_than_the_ensemble_has(world: World) -> None:
    one = await shared(world, up(1, 0.9), up(2, 0.7))
    world.publish(planned(vote(*nodes(one, 1, 2), deadline_ms=1_000), timeout_ms=50_000))
    await world.predict()
    [given] = one.behaviour.headers
    assert 500 < float(given["x-modelyard-timeout-ms"]) <= 851


async def test_a_server_that_does_not_answer_costs_no_more_than_the_deadline(world: World) -> None:
    one, other = await shared(world, up(1, 0.1), up(2, 0.1), delay_s=60), await world.replica(up(3, 0.9))
    world.publish(planned(vote(*nodes(one, 1, 2), *nodes(other, 3), deadline_ms=150), timeout_ms=50_000))
    async with asyncio.timeout(25):
        answer = await world.predict()
    assert (answer.status, answer.body["version"]) == (200, 3), answer
    assert statuses(world) == {1: Status.TIMEOUT, 2: Status.TIMEOUT, 3: Status.OK}


async def test_rows_of_an_infer_request_go_in_one_call(world: World) -> None:
    one = await shared(world, Behaviour(DIGESTS[0]), up(2, 0.5))  # the first answers p(up) = price
    world.publish(planned(vote(*nodes(one, 1, 2))))
    numbers = {"name": "num", "datatype": "FP64", "shape": [2, 2], "data": [0.9, 1, 0.1, 1]}
    words = {"name": "cat", "datatype": "BYTES", "shape": [2, 1], "data": ["red", "red"]}
    answer = await world.call("POST", "/v2/models/elec/infer", {"id": "r-1", "inputs": [numbers, words]})
    outputs = {output["name"]: output["data"] for output in answer.body["outputs"]}
    assert (outputs["class"], outputs["scores"]) == (["up", "down"], pytest.approx([0.3, 0.7, 0.7, 0.3]))
    assert one.behaviour.paths == ["/v2/models/elec/versions/1,2/infer"]
    assert [[vote.score for vote in row.votes] for row in world.logged()] == [[0.9, 0.5], [0.1, 0.5]]


async def test_a_quorum_counts_the_members_of_the_call(world: World) -> None:
    one = await shared(world, up(1, 0.9), up(2, 0.7, status=500))
    world.publish(planned(vote(*nodes(one, 1, 2), quorum=2)))
    answer = await world.predict()
    assert (answer.status, answer.body["code"]) == (502, "upstream_error"), answer
    [logged] = world.logged()
    assert (logged.model_version, len(logged.attempts), logged.votes) == (2, 2, ())


async def test_a_named_version_is_asked_alone(world: World) -> None:
    one = await shared(world, up(1, 0.9), up(2, 0.7))
    world.publish(planned(vote(*nodes(one, 1, 2))))
    numbers = {"name": "num", "datatype": "FP64", "shape": [1, 2], "data": [0.9, 1]}
    words = {"name": "cat", "datatype": "BYTES", "shape": [1, 1], "data": ["red"]}
    answer = await world.call("POST", "/v2/models/elec/versions/2/infer", {"inputs": [numbers, words]})
    assert (answer.status, one.behaviour.paths) == (200, ["/v2/models/elec/versions/2/infer"]), answer
