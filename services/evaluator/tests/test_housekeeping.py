"""What a crash left of ended evaluations goes, and nothing that an open one needs."""

import os
from datetime import timedelta

from modelyard_evaluator.housekeeping import Housekeeping
from modelyard_runtime.inbox import claims_kept, forget_claims

from .conftest import World


def test_folders_of_ended_evaluations_go_and_those_of_open_ones_stay(world: World) -> None:
    world.deliver(world.registered(2))
    world.work()
    world.labels.rows = 0
    world.deliver(world.registered(3))
    world.work()
    waits, ended = sorted(world.evaluations(), key=lambda one: one.done)
    assert (waits.done, ended.done) == (False, True)
    for one in (waits, ended):
        folder = world.deps.work / str(one.id)
        folder.mkdir(parents=True)
        (folder / "rows.parquet").touch()
    housekeeping(world).tidy()
    assert [folder.name for folder in world.deps.work.iterdir()] == [str(waits.id)]


def test_cached_artifacts_go_when_they_are_old(world: World) -> None:
    blobs = world.deps.work.parent / "blobs"
    blobs.mkdir()
    used, unused = blobs / "used", blobs / "unused"
    now = world.clock().timestamp()
    for file, at in ((used, now), (unused, now - 2)):
        file.touch()
        os.utime(file, (at, at))
    world.clock.advance(timedelta(days=7).total_seconds() - 1)
    housekeeping(world).tidy()
    assert list(blobs.iterdir()) == [used]


def test_an_event_whose_claim_was_forgotten_is_not_evaluated_again(world: World) -> None:
    event = world.registered(2)
    world.deliver(event)
    world.work()
    world.clock.advance(claims_kept().total_seconds() + 1)
    assert forget_claims(world.database, claims_kept()) == 1
    world.deliver(event)  # the compacted topic of the registry repeats a model's last event however old it is
    world.work()
    assert len(world.told()) == 1


def housekeeping(world: World) -> Housekeeping:
    return Housekeeping(world.database, world.deps.work, world.deps.work.parent / "blobs")
