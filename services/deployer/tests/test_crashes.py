"""The deployer is killed between any two writes; the next one reaches the same result as an undisturbed one."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from modelyard_contracts import RolloutAction, RolloutChanged, RoutePublished, Verdict
from modelyard_contracts import RolloutState as State
from modelyard_deployer.domain.errors import StaleRollout
from modelyard_deployer.domain.hedge import Batch
from modelyard_runtime.database import Transaction

from .conftest import World, targets_of
from .test_adaptive import given_vote, vote, votes


class Killed(BaseException):
    """Stands for kill -9: no handler may catch it."""


class Dying:
    """Lets `commits` transactions commit, then dies before or after the next one."""

    def __init__(self, world: World, commits: int, *, after: bool) -> None:
        self._transaction = world.database.transaction
        self._left, self._after = commits, after
        world.database.transaction = self.transaction  # type: ignore[method-assign]

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        self._left -= 1
        with self._transaction() as tx:
            yield tx
            if self._left < 0 and not self._after:
                raise Killed
        if self._left < 0:
            raise Killed


def live(world: World) -> None:
    """A canary from approval to promotion, with the same answers from outside every time."""
    for _ in range(14):
        world.settle(1.0)
        with world.store.read() as records:
            known = records.routes.get("churn")
        if known and known.sequence:
            world.routers_apply()


@pytest.mark.parametrize(("commits", "after"), [(n, n % 2 == 0) for n in range(12)] + [(n, True) for n in (13, 16, 19)])
def test_a_deployer_killed_at_any_write_is_replaced_by_one_that_finishes(
    tmp_path: Path, commits: int, after: bool
) -> None:
    world = World(tmp_path, f"sqlite:///{tmp_path}/deployer.db")
    world.healthy()
    world.given_serving(1)
    world.request(RolloutAction.START, 2, id=uuid4())
    real = world.database.transaction
    Dying(world, commits, after=after)
    try:
        live(world)
    except Killed:
        pass
    finally:
        world.database.transaction = real  # type: ignore[method-assign]
    world.restart()
    live(world)

    assert world.weights() == {2: 1.0}
    assert [r.state for r in world.rollouts()] == [State.PROMOTED, State.PROMOTED]
    assert _gapless([e.revision for e in world.published(RolloutChanged) if e.to_version == 2])
    assert _gapless([table.sequence for table in world.published(RoutePublished)])
    assert _never_falls(world.published(RoutePublished))
    assert world.processes.serving() == {1, 2}
    assert len(world.processes.running) == 2
    world.close()


@pytest.mark.parametrize(("commits", "after"), [(n, n % 2 == 0) for n in range(8)])
def test_a_deployer_killed_while_a_better_version_takes_a_place_is_replaced_by_one_that_finishes(
    tmp_path: Path, commits: int, after: bool
) -> None:
    world = World(tmp_path, f"sqlite:///{tmp_path}/deployer.db")
    world.given_automatic_canary(2)
    world.healthy()
    evaluated, approved = world.evaluate(3, 2, Verdict.DEPLOY), world.approve(3)
    real = world.database.transaction
    Dying(world, commits, after=after)
    try:
        live(world)
    except Killed:
        pass
    finally:
        world.database.transaction = real  # type: ignore[method-assign]
    world.restart()
    world.deliver(evaluated)
    world.deliver(approved)
    live(world)

    assert world.weights() == {3: 1.0}
    ended = [(rollout.to_version, rollout.state) for rollout in world.rollouts()[1:]]
    assert sorted(ended) == [(2, State.ABORTED), (2, State.ABORTED), (3, State.PROMOTED)]
    assert _gapless([table.sequence for table in world.published(RoutePublished)])
    world.close()


def live_with_labels(world: World) -> None:
    """Version 3 joins a vote while labels arrive; pages of labels come one by one."""
    for _ in range(8):
        with suppress(StaleRollout):
            world.updates.update("churn")
        world.settle(0.1)
        world.routers_apply()


@pytest.mark.parametrize(("commits", "after"), [(n, n % 2 == 0) for n in range(9)])
def test_a_deployer_killed_between_labels_and_routes_counts_each_label_once(
    tmp_path: Path, commits: int, after: bool
) -> None:
    world = World(tmp_path, f"sqlite:///{tmp_path}/deployer.db")
    given_vote(world, 2)
    world.updates.update("churn")
    for wrong in (2.0, 8.0, 3.0):
        world.monitor.label(Batch(10, {1: wrong, 2: 5.0}, vote_loss=2.0))
    approved = world.approve(3)
    real = world.database.transaction
    Dying(world, commits, after=after)
    try:
        live_with_labels(world)
    except Killed:
        pass
    finally:
        world.database.transaction = real  # type: ignore[method-assign]
    world.restart()
    world.deliver(approved)
    live_with_labels(world)

    assert (vote(world).labels, vote(world).loss) == (30, 6.0)
    assert votes(world) == {
        3: pytest.approx(0.2, abs=0.05),
        1: pytest.approx(0.55, abs=0.1),
        2: pytest.approx(0.25, abs=0.1),
    }
    assert votes(world) == {one.version: one.weight for one in vote(world).members}
    assert [r.state for r in world.rollouts()] == [State.PROMOTED] * 3
    assert _gapless([table.sequence for table in world.published(RoutePublished)])
    assert _gapless([e.revision for e in world.published(RolloutChanged) if e.to_version == 3])
    world.close()


def _gapless(numbers: list[int]) -> bool:
    return numbers == list(range(1, len(numbers) + 1))


def _never_falls(tables: list[Any]) -> bool:
    shares = [sum(t.weight for t in targets_of(table) if t.version == 2) for table in tables]
    return shares == sorted(shares)


def test_living_replicas_are_adopted_and_not_started_again(world: World) -> None:
    world.given_canary()
    started = len(world.processes.started)
    world.restart()
    world.settle(0.1)
    assert len(world.processes.started) == started
    assert world.weights() == pytest.approx({1: 0.95, 2: 0.05})


def test_a_replica_that_died_with_the_deployer_is_started_again(world: World) -> None:
    world.given_canary()
    world.processes.kill(2)
    world.restart()
    world.settle(1.0)
    assert world.processes.serving() == {1, 2}


def test_a_process_without_a_record_is_ended(world: World) -> None:
    world.given_serving(1)
    [process] = world.processes.running.values()
    stray = uuid4()
    world.processes.running[stray] = type(process)(9999, 1.0)
    world.restart()
    assert stray not in world.processes.running
    assert len(world.processes.running) == 1


def test_an_abort_requested_while_the_reconciler_decides_is_not_lost(world: World) -> None:
    """The request is recorded between the reconciler's read and its write, which must then not win."""
    rollout = world.given_canary()
    world.healthy()
    monitor = world.monitor
    asked: list[Any] = []

    def health(*_: Any) -> Any:
        if not asked:
            asked.append(world.request(RolloutAction.ABORT, reason="now"))
        return monitor.stratum

    monitor.health = health  # type: ignore[method-assign,assignment]
    world.settle(5.0)
    world.settle(5.0)
    assert asked
    assert world.rollout(rollout.id).state is State.ABORTED
    assert world.weights() == {1: 1.0}
