"""Folders of runs: an open run keeps all of its, an ended one what explains it, and that for a time."""

import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from modelyard_runtime import retention
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.jobs.rundir import RunDir

from .helpers.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, limits=Limits(max_running=0, keep_run_dirs=2, keep_run_dirs_for=timedelta(days=30)))
    yield world
    world.close()


def a_folder(world: World, name: str, days_old: float) -> RunDir:
    run_dir = RunDir(world.folder / "runs" / name)
    run_dir.prepare({})
    run_dir.log.write_text("what happened")
    at = world.clock().timestamp() - days_old * 86_400
    os.utime(run_dir.path, (at, at))
    return run_dir


def names(world: World) -> set[str]:
    return {run_dir.path.name for run_dir in world.workers.folders()}


def test_of_ended_runs_the_newest_folders_stay_for_their_days_and_open_ones_for_ever(world: World) -> None:
    open_run = world.begin()
    a_folder(world, str(open_run.id), days_old=400)
    ended = [str(uuid4()) for _ in range(3)]
    for age, name in enumerate(ended):
        a_folder(world, name, days_old=age)
    world.supervisor.tick()
    assert names(world) == {str(open_run.id), *ended[:2]}

    world.clock.advance(timedelta(days=29, minutes=1).total_seconds())
    world.supervisor.tick()
    assert names(world) == {str(open_run.id), ended[0]}
    world.clock.advance(timedelta(days=1).total_seconds())
    world.supervisor.tick()
    assert names(world) == {str(open_run.id)}


def test_folders_are_looked_at_once_an_hour(world: World) -> None:
    world.supervisor.tick()
    a_folder(world, "old", days_old=31)
    world.clock.advance(3_599)
    world.supervisor.tick()
    assert names(world) == {"old"}
    world.clock.advance(1)
    world.supervisor.tick()
    assert names(world) == set()


def test_a_trainer_killed_while_it_removes_a_folder_leaves_nothing_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_folder(world, "old", days_old=31)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(retention.shutil, "rmtree", killed)  # type: ignore[attr-defined]
        world.supervisor.tick()
    world.restart()
    assert names(world) == set()
    world.supervisor.tidy()
    assert list((world.folder / "runs").iterdir()) == []


def test_what_is_large_goes_with_the_end_of_a_run_also_when_that_was_broken_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = a_folder(world, "ended", days_old=0)
    for large in (run_dir.data, run_dir.older, run_dir.model / "model.bin", run_dir.work / "epoch-1" / "checkpoint.pt"):
        large.parent.mkdir(parents=True, exist_ok=True)
        large.touch()
    whole = shutil.rmtree

    def killed(path: Path, **more: Any) -> None:
        if path == run_dir.work:
            raise KeyboardInterrupt
        whole(path, **more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shutil, "rmtree", killed)
        run_dir.forget_data()
    world.restart()
    world.supervisor.tidy()
    assert {path.name for path in run_dir.path.iterdir()} <= {"request.json", "log.txt", "worker.lock"}
