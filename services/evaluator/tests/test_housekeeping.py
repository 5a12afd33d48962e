"""What a crash left of ended evaluations goes, and nothing that an open one needs."""

import os
from datetime import timedelta

from sqlalchemy import select

from modelyard_evaluator.housekeeping import Housekeeping
from modelyard_runtime.inbox import claims_kept
from modelyard_runtime.tables import INBOX

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


def test_cached_artifacts_and_claims_go_when_they_are_old(world: World) -> None:
    event = world.registered(2)
    world.deliver(event)
    world.work()
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
    assert claims(world) == 1

    world.clock.advance(claims_kept().total_seconds())
    housekeeping(world).tidy()
    assert claims(world) == 0
    world.deliver(event)  # the compacted topic of the registry repeats a model's last event however old it is
    world.work()
    assert len(world.told()) == 1


def claims(world: World) -> int:
    with world.database.read() as db:
        return len(db.execute(select(INBOX)).all())


def housekeeping(world: World) -> Housekeeping:
    return Housekeeping(world.database, world.deps.work, world.deps.work.parent / "blobs", claims_kept())
