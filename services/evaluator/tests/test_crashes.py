"""The evaluator is killed at any commit, or while it scores; the next process reaches the same verdict, once."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard_contracts import Verdict
from modelyard_evaluator.domain.ports import Evaluations, Storage, UnitOfWork

from .conftest import World


class Killed(BaseException):
    """Stands for kill -9."""


class DyingStorage:
    """Passes `commits` transactions, then raises Killed before or after the next commit."""

    def __init__(self, inner: Storage, commits: int, *, after: bool) -> None:
        self._inner, self._left, self._after = inner, commits, after

    @contextmanager
    def transaction(self) -> Iterator[UnitOfWork]:
        self._left -= 1
        with self._inner.transaction() as tx:
            yield tx
            if self._left < 0 and not self._after:
                raise Killed
        if self._left < 0:
            raise Killed

    @contextmanager
    def read(self) -> Iterator[Evaluations]:
        with self._inner.read() as evaluations:
            yield evaluations


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("commits", range(4))
def test_killed_at_any_commit_it_reaches_one_verdict(tmp_path: Path, commits: int, after: bool) -> None:
    with World(tmp_path, f"sqlite:///{tmp_path}/evaluator.db") as world:
        event, living = world.registered(2), world.deps
        world.deps = replace(living, storage=DyingStorage(living.storage, commits, after=after))
        with suppress(Killed):
            world.deliver(event)
            world.work()
        world.deps = living
        world.deliver(event)
        world.work(1.0)

        [verdict] = world.verdicts()
        assert verdict.verdict is Verdict.DEPLOY


def test_killed_while_scoring_it_pins_the_same_rows_again(world: World) -> None:
    world.deliver(world.registered(2))
    world.scorer.error = Killed()
    with suppress(Killed):
        world.work()
    world.scorer.error = None
    world.clock.advance(3600.0)
    world.work()
    first, second = (job for job in world.scorer.jobs if "as_of" in job)
    assert first == second
    assert len(world.verdicts()) == 1
