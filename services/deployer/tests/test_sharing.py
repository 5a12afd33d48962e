"""Which versions of an adaptive model share a process, and how the published route shows them."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from modelyard_contracts import RolloutAction, RolloutStrategy, RoutePublished, documents
from modelyard_contracts import RolloutState as State
from modelyard_contracts.documents import read
from modelyard_contracts.policies import RolloutPolicy
from modelyard_contracts.routes import Ensemble, RoutePlan, RouteSpec, VersionLeaf
from modelyard_deployer.domain.rollouts import Kind, Rollout
from modelyard_deployer.domain.routes import Route, Serving
from modelyard_deployer.domain.sharing import sharing
from modelyard_deployer.domain.snapshot import ModelState, RouteState, Snapshot
from modelyard_deployer.domain.votes import Departure, Member, Vote
from modelyard_deployer.domain.workloads import VersionKey
from modelyard_runtime.clock import FakeClock

from .conftest import MODEL, World, a_version
from .test_adaptive import given_vote, joins

NOW = FakeClock()()
ADAPTIVE = RolloutPolicy(strategy="adaptive")


def snapshot(policy: RolloutPolicy = ADAPTIVE, **more: Any) -> Snapshot:
    """Versions 1 to 4 are known, 1 to 3 vote, 3 is the champion."""
    members = tuple(Member(number, NOW, -1.0) for number in (1, 2, 3))
    state = ModelState(Serving(MODEL, MODEL, champion=3, history=(1, 2), policy=policy), None, Vote(MODEL, members))
    versions = {VersionKey(MODEL, number): a_version(number) for number in (1, 2, 3, 4)}
    return replace(Snapshot(MODEL, state, ()), **{"versions": versions, **more})


def rollout(version: int, **more: Any) -> Rollout:
    return Rollout(
        id=uuid4(),
        kind=Kind.START,
        model=MODEL,
        to_version=version,
        correlation_id=uuid4(),
        requested_by="anna",
        created_at=NOW,
        changed_at=NOW,
        **more,
    )


def with_vote(found: Snapshot, **changes: Any) -> Snapshot:
    assert found.vote is not None
    return replace(found, state=replace(found.state, vote=replace(found.vote, **changes)))


def test_members_and_the_version_that_comes_next_share() -> None:
    assert sharing(snapshot(), [1, 2, 3, 4]) == {1, 2, 3, 4}


def test_versions_of_a_model_that_is_not_adaptive_do_not_share() -> None:
    canary = snapshot(RolloutPolicy(strategy="canary"))
    assert sharing(with_vote(canary, members=()), [2, 3]) == frozenset()


def test_a_pinned_version_has_its_own_process_so_that_a_fallback_to_it_does_not_fail_with_the_vote() -> None:
    spec = {"root": {"kind": "version", "model": MODEL, "version": 1}, "schema_version": 1, "min_release": "0.2"}
    route = Route("safe", MODEL, "salt", documents.write(RouteSpec.model_validate(spec)).decode())
    assert sharing(snapshot(routes=(RouteState(route),)), [1, 2, 3]) == {2, 3}


def test_a_canary_has_its_own_process() -> None:
    active = rollout(4, state=State.SHIFTING, strategy=RolloutStrategy.CANARY)
    found = snapshot()
    assert sharing(replace(found, state=replace(found.state, active=active)), [1, 2, 3, 4]) == {1, 2, 3}
    waiting = rollout(4, asked_strategy=RolloutStrategy.CANARY)
    assert sharing(snapshot(waiting=(waiting,)), [1, 2, 3, 4]) == {1, 2, 3}


def test_a_version_that_does_harm_or_left_the_vote_before_has_its_own_process() -> None:
    found = snapshot()
    assert found.vote is not None
    one, two, three = found.vote.members
    harmful = with_vote(found, members=(one, two, replace(three, harm="calls fail")))
    assert sharing(harmful, [1, 2, 3]) == {1, 2}
    returned = with_vote(found, departed=(Departure(1, NOW, "calls failed"),))
    assert sharing(returned, [1, 2, 3]) == {2, 3}


@pytest.mark.parametrize("change", [{"flavour": "echo"}, {"size_bytes": 1 << 30}], ids=str)
def test_large_versions_and_other_flavours_have_their_own_process(change: dict[str, Any]) -> None:
    version = a_version(2)
    manifest = version.file.manifest
    if "size_bytes" in change:
        manifest = manifest.model_copy(update={"files": (manifest.files[0].model_copy(update=change),)})
    else:
        manifest = manifest.model_copy(update=change)
    other = replace(version, file=type(version.file).write(manifest))
    found = snapshot()
    found = replace(found, versions={**found.versions, VersionKey(MODEL, 2): other})
    assert sharing(found, [1, 2, 3]) == {1, 3}


def leaves(world: World) -> dict[int, VersionLeaf]:
    root = read(RoutePlan, world.published(RoutePublished)[-1].plan).root
    assert isinstance(root, Ensemble)
    return {member.node.version: member.node for member in root.members if isinstance(member.node, VersionLeaf)}


def test_the_route_names_each_member_with_its_digest_and_the_address_that_they_share(world: World) -> None:
    given_vote(world, 2, 3)
    world.settle(10.0)
    found = leaves(world)
    assert world.processes.together() == [{1, 2, 3}]
    assert len({leaf.urls for leaf in found.values()}) == 1
    assert {number: leaf.digest for number, leaf in found.items()} == {n: a_version(n).digest for n in (1, 2, 3)}
    address = found[1].urls
    joins(world, 4)
    assert {leaf.urls for leaf in leaves(world).values()} == {address}
    assert world.processes.together() == [{1, 2, 3, 4}]


def test_a_rejected_member_leaves_the_process_and_a_requested_canary_does_not_enter_it(world: World) -> None:
    given_vote(world, 2, 3)
    world.request(RolloutAction.START, 4, strategy=RolloutStrategy.CANARY)
    world.settle(0.01)
    world.routers_apply()
    world.settle(10.0)
    assert world.processes.serving() == {1, 2, 3, 4}
    assert world.processes.together() == [{1, 2, 3}]
