"""A live share for versions whose comparison is undecided (decision 0097)."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from modelyard_contracts import EvaluationRequested, ResourceChanged, RolloutAction, RolloutState, Verdict

from .conftest import MODEL, World
from .test_api import DEVELOPER, app_of
from .test_crashes import DyingStorage, Killed
from .test_looks import HOUR_S, UNDECIDED, arrive, the

NOT_WORSE = {"difference": 0.0, "low": -0.01, "high": 0.01}


def share_is_requested(world: World, event: ResourceChanged | None = None, **gate: Any) -> None:
    """The first look at version 2 has not decided."""
    world.set_gate(
        **{"min_rows": 300, "max_open_s": 24 * HOUR_S, "max_open_rows": 5_000, "inconclusive": "live_share", **gate}
    )
    world.scorer.result = {**UNDECIDED, **world.scorer.result}
    world.deliver(event or world.registered(2))
    world.work()


def share_begins(world: World) -> None:
    """The deployer has given version 2 its share; the evaluator notices when it counts rows."""
    world.rolled_out(2, RolloutState.SHIFTING)
    world.work(60.0)


def test_an_undecided_version_gets_a_live_share_and_its_comparison_stays_open(world: World) -> None:
    share_is_requested(world)
    [request] = world.rollout_requests()
    assert (request.action, request.version, request.requested_by) == (RolloutAction.START, 2, "evaluator")
    assert request.evaluation_id == the(world).id
    assert "comparison with version 1 is undecided" in request.reason
    assert world.verdicts() == []


def test_without_the_policy_it_only_waits(world: World) -> None:
    share_is_requested(world, inconclusive="wait")
    assert world.rollout_requests() == []


def test_a_version_that_seems_worse_than_the_margin_gets_none(world: World) -> None:
    world.scorer.result = {"difference": -0.025, "low": -0.06, "high": 0.01}
    share_is_requested(world)
    assert (the(world).looks, world.rollout_requests()) == (1, [])
    world.scorer.result = UNDECIDED
    arrive(world, 1_100)
    assert len(world.rollout_requests()) == 1


def test_the_share_is_requested_once_whatever_is_looked_at_or_delivered_again(world: World) -> None:
    event = world.registered(2)
    share_is_requested(world, event)
    world.deliver(event)
    for rows in (1_100, 1_300, 1_500):
        arrive(world, rows)
    world.given_version(4)
    world.promote(4)
    arrive(world, 2_000)
    assert [request.version for request in world.rollout_requests()] == [2]


def test_only_new_versions_get_one(world: World) -> None:
    world.set_gate(min_rows=300, max_open_s=HOUR_S, inconclusive="live_share")
    world.scorer.result = UNDECIDED
    world.deliver(
        EvaluationRequested(
            event_id=uuid4(),
            occurred_at=world.clock(),
            correlation_id=uuid4(),
            model=MODEL,
            challenger_version=2,
            requested_by="ada",
        )
    )
    world.work()
    assert (the(world).looks, world.rollout_requests()) == (1, [])


@pytest.mark.parametrize(
    ("result", "verdict"), [(NOT_WORSE, Verdict.DEPLOY), (UNDECIDED, Verdict.REJECT)], ids=["not worse", "unknown"]
)
def test_with_its_share_to_the_end_the_last_look_decides(
    world: World, result: dict[str, Any], verdict: Verdict
) -> None:
    share_is_requested(world)
    share_begins(world)
    world.scorer.result = result
    arrive(world, 5_000)
    [finished] = world.verdicts()
    assert finished.verdict is verdict
    assert finished.reasons[0] == "No decision until 5000 rows, after 2 looks at the rows."
    assert finished.reasons[1] == "It answered 5 % of the traffic meanwhile, without harm."


def test_a_share_that_has_ended_or_never_began_leaves_the_verdict_inconclusive(world: World) -> None:
    share_is_requested(world)
    share_begins(world)
    world.rolled_out(2, RolloutState.ABORTED, against=0.0)
    world.scorer.result = NOT_WORSE
    arrive(world, 5_000)
    assert [finished.verdict for finished in world.verdicts()] == [Verdict.INCONCLUSIVE]


def test_harm_during_the_share_ends_the_comparison(world: World) -> None:
    share_is_requested(world)
    share_begins(world)
    world.rolled_out(2, RolloutState.ABORTED, against=1.0)
    world.work(60.0)
    [finished] = world.verdicts()
    assert finished.verdict is Verdict.INCONCLUSIVE
    assert finished.reasons == ("Version 2 was not judged: it is rejected already.",)


def test_a_gain_that_shows_up_during_the_share_is_deployed(world: World) -> None:
    share_is_requested(world)
    share_begins(world)
    world.scorer.result = {}
    arrive(world, 1_200)
    assert [finished.verdict for finished in world.verdicts()] == [Verdict.DEPLOY]


def test_the_share_can_be_read_while_it_is_held(world: World) -> None:
    share_is_requested(world)
    with TestClient(app_of(world), headers=DEVELOPER) as http:
        assert http.get("/v1/evaluations").json()["items"][0]["live_share_percent"] is None
        share_begins(world)
        assert http.get("/v1/evaluations").json()["items"][0]["live_share_percent"] == 5.0
        arrive(world, 5_000)
        assert http.get("/v1/evaluations").json()["items"][0]["live_share_percent"] is None


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("commits", range(5))
def test_killed_at_any_commit_the_share_is_requested_once(tmp_path: Path, commits: int, after: bool) -> None:
    with World(tmp_path, f"sqlite:///{tmp_path}/evaluator.db") as world:
        living = world.deps
        world.deps = replace(living, storage=DyingStorage(living.storage, commits, after=after))
        with suppress(Killed):
            share_is_requested(world)
        world.deps = living
        if not world.evaluations():
            share_is_requested(world)
        world.work(60.0)
        assert len(world.rollout_requests()) == 1
        assert the(world).live_share_at is not None
