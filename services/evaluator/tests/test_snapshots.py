"""Snapshots of online learners: versions of training runs are judged before them."""

import asyncio

import pytest

from modelyard_contracts.manifest import LEARNER_FACT
from modelyard_devstack.testing import eventually
from modelyard_evaluator.background.worker import EvaluationWorker

from .conftest import World


def given_snapshot(world: World, number: int, learner: str = "forest") -> None:
    world.given_version(number, parameters={LEARNER_FACT: learner})


@pytest.mark.timeout(60)
async def test_a_version_of_a_training_run_is_judged_before_snapshots_that_came_earlier(world: World) -> None:
    given_snapshot(world, 4, "forest")
    given_snapshot(world, 5, "linear")
    for number in (4, 5, 2):
        world.deliver(world.registered(number))
        world.clock.advance(0.01)
    worker, stop = EvaluationWorker(world.deps), asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    await eventually(lambda: len(world.verdicts()) == 3, what="three verdicts")
    stop.set()
    await running
    assert [one.challenger_version for one in world.verdicts()] == [2, 4, 5]
