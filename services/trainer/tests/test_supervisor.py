"""Runs with real worker processes: whoever dies, there is one version or an honest failure, and nothing left behind."""

import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest

from modelyard_contracts import RunState
from modelyard_contracts.manifest import Feature, FeatureSchema
from modelyard_devstack.testing import wait_until
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.domain.ports import Served
from modelyard_trainer.jobs.processes import PRELOAD
from modelyard_trainer.jobs.rundir import file_digest
from modelyard_trainer.usecases import RunRequest, cancel_run, request_run
from modelyard_zygote import Zygote

from .helpers.world import PYTHONPATH, World


def killed(pid: int | None) -> None:
    assert pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_run_goes_through_all_states_to_one_version(world: World) -> None:
    run = world.drive(world.begin().id)

    assert (run.state, run.version, run.progress) == (RunState.SUCCEEDED, 1, 1.0)
    told = world.published()
    assert [one.revision for one in told] == list(range(1, len(told) + 1))
    states = list(dict.fromkeys(one.state.value for one in told))
    assert states == ["requested", "snapshotting", "training", "registering", "succeeded"]
    manifest = world.registry.versions[str(run.id)]
    assert manifest.training.dataset_digest == world.dataset == run.dataset_digest
    assert manifest.training.run_id == str(run.id)
    run_dir = world.workers.dir_of(run.id)
    assert not run_dir.data.exists() and not run_dir.model.exists() and run_dir.result is not None


def test_a_run_on_live_rows_gets_what_the_serving_version_learned_from(world: World) -> None:
    world.registry.serves["shifts"] = Served(
        FeatureSchema(features=(Feature(name="x"),), classes=("a", "b")), world.dataset
    )
    live = request_run(world.deps, RunRequest("shifts", "a test", "test"))
    world.drive(live.id, lambda run: run.attempt == 1)
    run_dir = world.workers.dir_of(live.id)
    assert file_digest(run_dir.older) == world.dataset
    cancel_run(world.deps, live.id)
    world.drive(live.id)
    assert not run_dir.older.exists()

    given = world.begin(seconds="600")
    world.drive(given.id, lambda run: run.attempt == 1)
    assert not world.workers.dir_of(given.id).older.exists()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again(world: World) -> None:
    run = world.drive(world.begin(deaths="1").id)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)
    assert any("its worker died; attempt 2" in told.reason for told in world.published())
    assert len(world.registry.versions) == 1


@pytest.mark.slow
def test_a_worker_that_always_dies_ends_in_a_failure_with_the_end_of_its_log(world: World) -> None:
    run = world.drive(world.begin(deaths="9").id)
    assert (run.state, run.attempt) == (RunState.FAILED, 3)
    assert "its worker died 3 times; its log ends:" in run.reason and "I am about to die" in run.reason
    assert "\n" not in run.reason
    assert not world.registry.versions


@pytest.mark.slow
def test_a_new_trainer_adopts_the_worker_that_lived_on(world: World) -> None:
    run_id = world.begin(seconds="2").id
    world.drive(run_id, lambda run: run.state is RunState.TRAINING)
    worker = world.workers.dir_of(run_id).holder
    world.restart()
    run = world.drive(run_id)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    assert (worker and not psutil.pid_exists(worker)) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_trainer_and_worker_killed_together_end_in_one_version(world: World) -> None:
    run_id = world.begin(seconds="1").id
    world.drive(run_id, lambda run: run.state is RunState.TRAINING)
    killed(world.workers.dir_of(run_id).holder)
    world.restart()
    run = world.drive(run_id)
    assert (run.state, run.attempt, len(world.registry.versions)) == (RunState.SUCCEEDED, 2, 1)


@pytest.mark.slow
def test_a_result_that_nobody_took_before_the_crash_is_taken_by_the_next_trainer(world: World) -> None:
    run_id = world.begin().id
    world.drive(run_id, lambda run: run.state in (RunState.SNAPSHOTTING, RunState.TRAINING))
    child = world.workers._children[run_id]
    child.wait(60)
    world.restart()
    run = world.drive(run_id)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)


@pytest.mark.slow
def test_killed_between_registering_and_writing_it_down_there_is_still_one_version(world: World) -> None:
    run_id = world.begin().id
    world.drive(run_id, lambda run: run.state is RunState.REGISTERING)
    result = world.workers.dir_of(run_id).result
    assert result is not None
    world.registry.publish(world.runs.get(run_id), world.workers.dir_of(run_id), result)  # and then the lights go out
    world.restart()
    run = world.drive(run_id)
    assert (run.state, run.version, world.registry.published) == (RunState.SUCCEEDED, 1, 2)
    assert len(world.registry.versions) == 1


@pytest.mark.slow
def test_while_the_registry_is_away_the_run_waits(world: World) -> None:
    run_id = world.begin().id
    world.drive(run_id, lambda run: run.state is RunState.REGISTERING)
    world.registry.away = 3
    assert world.drive(run_id).state is RunState.SUCCEEDED


def test_cancelling_ends_the_worker_and_all_it_started(world: World) -> None:
    run_id = world.begin(seconds="600", spawn="true").id
    world.drive(run_id, lambda run: run.progress > 0.4)
    run_dir = world.workers.dir_of(run_id)
    child = int((run_dir.path / "work" / "child.pid").read_text())
    assert psutil.pid_exists(child) and run_dir.holder

    cancel_run(world.deps, run_id)
    run = world.drive(run_id)

    assert (run.state, run.reason) == (RunState.CANCELLED, "cancelled on request")
    assert run_dir.holder is None and not psutil.pid_exists(child)
    assert not run_dir.data.exists() and not world.registry.versions


@pytest.mark.slow
def test_a_worker_from_the_zygote_is_cancelled_with_all_it_started(
    tmp_path: Path, loopback: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    zygote = Zygote(PRELOAD)
    world = World(tmp_path / "forked", zygote=zygote)
    try:
        assert world.drive(world.begin().id).state is RunState.SUCCEEDED  # not forked: no run waits for the zygote
        wait_until(lambda: zygote.pid is not None, 60)
        run_id = world.begin(seconds="600", spawn="true").id
        world.drive(run_id, lambda run: run.progress > 0.4)
        run_dir = world.workers.dir_of(run_id)
        assert run_dir.holder and psutil.Process(run_dir.holder).ppid() == zygote.pid
        child = int((run_dir.path / "work" / "child.pid").read_text())
        cancel_run(world.deps, run_id)
        assert world.drive(run_id).state is RunState.CANCELLED
        assert run_dir.holder is None and not psutil.pid_exists(child)
    finally:
        world.close()
    assert zygote.pid is None


@pytest.mark.slow
def test_a_cancel_that_a_crash_interrupted_is_finished(world: World) -> None:
    run_id = world.begin(seconds="600").id
    world.drive(run_id, lambda run: run.state is RunState.TRAINING)
    cancel_run(world.deps, run_id)
    world.restart()
    assert world.drive(run_id).state is RunState.CANCELLED
    assert world.workers.dir_of(run_id).holder is None


@pytest.mark.slow
def test_what_cannot_be_trained_fails_at_once_in_the_worker_s_words(world: World) -> None:
    request = RunRequest("shifts", "a test", "test", dataset_digest="sha256:" + "0" * 64)
    run = world.drive(request_run(world.deps, request).id)
    assert (run.state, run.attempt) == (RunState.FAILED, 0)
    assert "the registry has no sha256:000" in run.reason

    without = world.drive(request_run(world.deps, RunRequest("shifts", "a test", "test")).id)
    assert (without.state, without.attempt) == (RunState.FAILED, 1)
    assert "has no version yet" in without.reason and "give dataset_digest" in without.reason


@pytest.mark.slow
def test_a_run_that_takes_too_long_is_ended(world: World) -> None:
    run_id = world.begin(seconds="600").id
    world.drive(run_id, lambda run: run.state is RunState.TRAINING)
    world.clock.advance(Limits().max_run_s + 1)
    run = world.drive(run_id)
    assert run.state is RunState.FAILED and "exceeded its time limit" in run.reason
    assert world.workers.dir_of(run_id).holder is None


@pytest.mark.slow
def test_runs_of_several_models_wait_for_a_free_place(world: World) -> None:
    world.registry.policies["other"] = world.registry.policies["shifts"]
    first = world.begin(seconds="1")
    second = request_run(world.deps, RunRequest("other", "a test", "test", dataset_digest=world.dataset))
    world.supervisor.tick()
    assert world.runs.get(first.id).state is RunState.SNAPSHOTTING
    assert world.runs.get(second.id).state is RunState.REQUESTED
    world.drive(first.id)
    assert world.drive(second.id).state is RunState.SUCCEEDED


@pytest.mark.slow
def test_a_second_worker_for_a_run_ends_by_itself(world: World) -> None:
    run_id = world.begin(seconds="600").id
    world.drive(run_id, lambda run: run.state is RunState.TRAINING)
    holder = world.workers.dir_of(run_id).holder
    first = world.workers._children[run_id]
    world.workers.start(run_id)
    assert world.workers._children[run_id].wait(60) == 0
    assert world.workers.dir_of(run_id).holder == holder == first.pid
    world.workers._children[run_id] = first  # so that the world ends it


@pytest.mark.slow
def test_after_a_start_workers_of_ended_runs_are_ended(world: World) -> None:
    run_id = world.begin(seconds="600").id
    world.drive(run_id, lambda run: run.state is RunState.TRAINING)
    with world.runs.session() as session:
        ended = world.runs.get(run_id).changed(state=RunState.FAILED, ended_at=world.clock())
        session.save(ended, world.clock())
    world.restart()
    world.supervisor.tidy()
    assert world.workers.dir_of(run_id).holder is None


@pytest.mark.slow
def test_only_the_newest_folders_of_ended_runs_are_kept(tmp_path: Path) -> None:
    world = World(tmp_path / "few", limits=Limits(keep_run_dirs=1))
    try:
        ids = [world.drive(world.begin().id).id for _ in range(2)]
        assert [run_dir.path.name for run_dir in world.workers.folders()] == [str(ids[-1])]
    finally:
        world.close()


@pytest.mark.parametrize("torn", ['{"progress": 0.', ""], ids=["half a line", "nothing"])
def test_a_torn_line_of_progress_is_passed_over(world: World, torn: str) -> None:
    run_dir = world.workers.dir_of(world.begin().id)
    run_dir.path.mkdir(parents=True)
    run_dir.report(progress=0.3, note="so far")
    with (run_dir.path / "progress.jsonl").open("a") as file:
        file.write(torn)
    [line] = run_dir.progress
    assert (line["progress"], line["note"]) == (0.3, "so far")
