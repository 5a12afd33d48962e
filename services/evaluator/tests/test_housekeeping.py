"""Housekeeping removes what a crash left of finished evaluations, and nothing that an open evaluation needs."""

import os
from datetime import timedelta

from modelyard_evaluator.background.housekeeping import Housekeeping
from modelyard_runtime.inbox import claims_kept, forget_claims

from .conftest import World


def test_folders_of_finished_evaluations_are_removed_and_those_of_open_ones_kept(world: World) -> None:
    world.deliver(world.registered(2))
    world.work()
    world.labels.rows = 1
    world.deliver(world.registered(3))
    world.work()
    waiting, finished = sorted(world.evaluations(), key=lambda evaluation: evaluation.done)
    assert (waiting.done, finished.done) == (False, True)
    for evaluation in (waiting, finished):
        folder = world.deps.work_dir / str(evaluation.id)
        folder.mkdir(parents=True)
        (folder / "rows.parquet").touch()
    housekeeping(world).tidy()
    assert [folder.name for folder in world.deps.work_dir.iterdir()] == [str(waiting.id)]


def test_cached_artifacts_are_removed_by_age(world: World) -> None:
    blobs = world.deps.work_dir.parent / "blobs"
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
    world.deliver(event)  # the registry's compacted topic repeats a model's last event, however old it is
    world.work()
    assert len(world.verdicts()) == 1


def housekeeping(world: World) -> Housekeeping:
    work_dir = world.deps.work_dir
    return Housekeeping(world.deps.storage, world.clock, work_dir, work_dir.parent / "blobs")
