"""When models are reconciled."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import uuid4

from modelyard_contracts import RolloutAction
from modelyard_contracts import RolloutState as State
from modelyard_deployer.reconcile.scheduler import Scheduler
from modelyard_devstack.testing import eventually

from .conftest import MODEL, World, a_version


class Counting:
    """A reconciler that counts its rounds."""

    def __init__(self, world: World) -> None:
        self._inner = world.reconciler
        self.settled: list[str] = []
        self.broken = False

    def models(self) -> list[str]:
        return self._inner.models()

    def settle(self, model: str) -> bool:
        self.settled.append(model)
        if self.broken:
            raise ValueError("a defect")
        return self._inner.settle(model)

    def note_failure(self, model: str, problem: str) -> None:
        self._inner.note_failure(model, problem)


@asynccontextmanager
async def running(world: World, reconciler: Counting) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(reconciler, world.workloads, world.workloads.tidy)
    stop = asyncio.Event()
    task = asyncio.create_task(scheduler.run(stop))
    yield scheduler
    stop.set()
    await task


async def test_a_model_that_neither_changed_nor_waits_is_not_read_again(world: World) -> None:
    world.given_serving(1)
    reconciler, polls = Counting(world), []
    poll = world.workloads.poll

    def counted() -> frozenset[str]:
        polls.append(1)
        return poll()

    world.workloads.poll = counted  # type: ignore[method-assign]
    async with running(world, reconciler):
        await eventually(lambda: len(polls) > 3, 30)
        assert reconciler.settled == [MODEL], "once at the start"
        world.processes.kill(1)
        await eventually(lambda: len(reconciler.settled) > 1, 30)


async def test_an_error_of_one_model_is_the_reason_of_its_rollout_and_is_repeated(world: World) -> None:
    reconciler = Counting(world)
    reconciler.broken = True
    rollout = world.request(RolloutAction.START, 1)
    async with running(world, reconciler) as scheduler:
        scheduler.notify(MODEL)
        await eventually(lambda: "ValueError: a defect" in world.rollout(rollout.id).reason, 30)
        reconciler.broken = False
        await eventually(lambda: world.rollout(rollout.id).state is State.SHIFTING, 30)


def test_a_round_costs_the_same_after_hundreds_of_past_versions(world: World) -> None:
    world.given_serving(1)

    def cpu_s() -> float:
        started = time.process_time()
        for _ in range(20):
            world.reconciler.settle(MODEL)
        return time.process_time() - started

    cpu_s()
    few = min(cpu_s() for _ in range(3))
    with world.store.write() as records:
        for version in range(100, 400):
            records.versions.save(a_version(version, "retired"))
            records.rollouts.add(replace(world.rollouts()[0], id=uuid4(), to_version=version))
    many = min(cpu_s() for _ in range(3))
    assert many < 2 * few, f"300 past versions cost {many / few:.1f} times as much"
