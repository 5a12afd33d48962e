"""The evaluator dies at any write, or while it scores; the next one says the same, once."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from modelyard_contracts import Verdict
from modelyard_runtime.database import Transaction

from .conftest import World


class Killed(BaseException):
    """kill -9, as far as Python can say it."""


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("commits", range(4))
def test_killed_at_any_write_it_gives_one_verdict(tmp_path: Path, commits: int, after: bool) -> None:
    world = World(tmp_path, f"sqlite:///{tmp_path}/evaluator.db")
    event = world.registered(2)
    real, left = world.database.transaction, [commits]

    @contextmanager
    def dying() -> Iterator[Transaction]:
        left[0] -= 1
        with real() as tx:
            yield tx
            if left[0] < 0 and not after:
                raise Killed
        if left[0] < 0:
            raise Killed

    world.database.transaction = dying  # type: ignore[method-assign]
    with suppress(Killed):
        world.deliver(event)
        world.work()
    world.database.transaction = real  # type: ignore[method-assign]
    world.deliver(event)
    world.work(1.0)

    [told] = world.told()
    assert told.verdict is Verdict.DEPLOY
    world.database.close()


def test_killed_while_scoring_it_pins_the_same_rows_again(world: World) -> None:
    world.deliver(world.registered(2))
    world.scorer.error = Killed()  # type: ignore[assignment]
    with suppress(Killed):
        world.work()
    world.scorer.error = None
    world.clock.advance(3600.0)
    world.work()
    first, again = (job for job in world.scorer.jobs if "as_of" in job)
    assert first == again
    assert len(world.told()) == 1
