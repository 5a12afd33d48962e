"""The deployer dies between any two writes; the next one ends up where an undisturbed one would have."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from modelyard_contracts import RolloutAction, RolloutChanged, RoutePublished
from modelyard_contracts import RolloutState as State
from modelyard_runtime.database import Transaction

from .conftest import World


class Killed(BaseException):
    """kill -9, as far as Python can say it: no handler may catch it."""


class Dying:
    """Lets so many transactions commit, then dies before or after the next one."""

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
    """A canary from approval to promotion, with the world's answers always the same."""
    for _ in range(14):
        world.settle(1.0)
        with world.database.read() as db:
            from modelyard_deployer import store

            known = store.route_of(db, "churn")
        if known and known.sequence:
            world.routers_apply()


@pytest.mark.parametrize(("commits", "after"), [(n, n % 2 == 0) for n in range(12)] + [(n, True) for n in (13, 16, 19)])
def test_a_deployer_killed_at_any_write_is_replaced_by_one_that_finishes(
    tmp_path: Path, commits: int, after: bool
) -> None:
    world = World(tmp_path, f"sqlite:///{tmp_path}/deployer.db")
    world.healthy()
    world.given_serving(1)
    world.wish(RolloutAction.START, 2, id=uuid4())
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
    assert _gapless([e.revision for e in world.told(RolloutChanged) if e.to_version == 2])
    assert _gapless([table.sequence for table in world.told(RoutePublished)])
    assert _never_falls(world.told(RoutePublished))
    assert world.runtime.serving() == {1, 2}
    assert len(world.runtime.running) == 2
    world.database.close()


def _gapless(numbers: list[int]) -> bool:
    return numbers == list(range(1, len(numbers) + 1))


def _never_falls(tables: list[Any]) -> bool:
    shares = [sum(t.weight for t in table.targets if t.version == 2) for table in tables]
    return shares == sorted(shares)


def test_replicas_that_live_are_taken_up_and_not_started_again(world: World) -> None:
    world.given_canary()
    started = len(world.runtime.started)
    world.restart()
    world.settle(0.1)
    assert len(world.runtime.started) == started
    assert world.weights() == pytest.approx({1: 0.95, 2: 0.05})


def test_a_replica_that_died_with_the_deployer_is_started_again(world: World) -> None:
    world.given_canary()
    world.runtime.kill(2)
    world.restart()
    world.settle(1.0)
    assert world.runtime.serving() == {1, 2}


def test_a_process_without_a_record_is_ended(world: World) -> None:
    world.given_serving(1)
    [process] = world.runtime.running.values()
    stray = uuid4()
    world.runtime.running[stray] = type(process)(9999, 1.0)
    world.restart()
    assert stray not in world.runtime.running
    assert len(world.runtime.running) == 1


def test_an_abort_asked_for_while_the_reconciler_decides_is_not_lost(world: World) -> None:
    """The wish is written between the reconciler's reading and its write, which then must not win."""
    rollout = world.given_canary()
    world.healthy()
    monitor = world.monitor
    asked: list[Any] = []

    def health(*_: Any) -> Any:
        if not asked:
            asked.append(world.wish(RolloutAction.ABORT, reason="now"))
        return monitor.stratum

    monitor.health = health  # type: ignore[method-assign,assignment]
    world.settle(5.0)
    world.settle(5.0)
    assert asked
    assert world.rollout(rollout.id).state is State.ABORTED
    assert world.weights() == {1: 1.0}
