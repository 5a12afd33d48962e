"""Runs with real worker processes: a crash ends in one version or a failed run with its reason."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event

import psutil
import pytest

from modelyard_contracts import RunState
from modelyard_devstack.testing import wait_until
from modelyard_devstack.testing.statements import plans, statements
from modelyard_trainer.domain.jobs import Output
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.domain.run import Run
from modelyard_trainer.jobs.local import output_in
from modelyard_trainer.jobs.processes import PRELOAD, WORKER
from modelyard_trainer.jobs.rundir import file_digest
from modelyard_trainer.usecases import RunRequest, cancel_run, request_run
from modelyard_zygote import Zygote

from .helpers.world import PYTHONPATH, World

pytestmark = pytest.mark.process


def killed(pid: int | None) -> None:
    assert pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_a_run_goes_through_all_states_to_one_version(world: World) -> None:
    run = world.drive(world.begin().id)

    assert (run.state, run.version, run.progress) == (RunState.SUCCEEDED, 1, 1.0)
    events = world.published()
    assert [one.revision for one in events] == list(range(1, len(events) + 1))
    states = list(dict.fromkeys(one.state.value for one in events))
    assert states == ["requested", "snapshotting", "training", "registering", "succeeded"]
    [manifest] = world.manifests()
    assert manifest.training.dataset_digest == world.dataset == run.dataset_digest
    assert manifest.training.run_id == str(run.id)
    run_dir = world.workers.dir_of(run.id)
    assert not run_dir.data.exists() and not run_dir.model.exists() and run_dir.result is not None


def test_a_run_on_live_rows_gets_the_training_rows_of_the_serving_version(world: World) -> None:
    world.given_version(dataset=world.dataset)
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
def test_a_killed_worker_is_restarted(world: World) -> None:
    run = world.drive(world.begin(deaths="1").id)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 2)
    assert any("its worker died; attempt 2" in one.reason for one in world.published())
    assert len(world.manifests()) == 1


@pytest.mark.slow
def test_a_worker_that_always_dies_fails_the_run_with_the_end_of_its_log(world: World) -> None:
    run = world.drive(world.begin(deaths="9").id)
    assert (run.state, run.attempt) == (RunState.FAILED, 3)
    assert "its worker died 3 times; its log ends:" in run.reason and "I am about to die" in run.reason
    assert "\n" not in run.reason
    assert not world.manifests()


@pytest.mark.slow
def test_a_restarted_trainer_adopts_a_living_worker(world: World) -> None:
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
    assert (run.state, run.attempt, len(world.manifests())) == (RunState.SUCCEEDED, 2, 1)


@pytest.mark.slow
def test_a_result_written_before_a_crash_is_used_after_the_restart(world: World) -> None:
    run_id = world.begin().id
    world.drive(run_id, lambda run: run.state in (RunState.SNAPSHOTTING, RunState.TRAINING))
    run_dir = world.workers.dir_of(run_id)
    wait_until(lambda: run_dir.result is not None and run_dir.holder is None, 60)
    world.restart()
    run = world.drive(run_id)
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)


@pytest.mark.slow
def test_a_crash_after_registering_still_gives_one_version(world: World) -> None:
    run_id = world.begin().id
    world.drive(run_id, lambda run: run.state is RunState.REGISTERING)
    world.gateway.publish(world.runs.get(run_id), output_in(world.workers.dir_of(run_id)))  # killed before it is stored
    world.restart()
    run = world.drive(run_id)
    assert (run.state, run.version) == (RunState.SUCCEEDED, 1)
    assert len(world.manifests()) == 1


@pytest.mark.slow
def test_a_run_waits_while_the_registry_is_unavailable(world: World) -> None:
    run_id = world.begin().id
    world.drive(run_id, lambda run: run.state is RunState.REGISTERING)
    with world.registry.unavailable():
        for _ in range(3):
            world.supervisor.tick()
        assert world.runs.get(run_id).state is RunState.REGISTERING
    assert world.drive(run_id).state is RunState.SUCCEEDED


def test_cancelling_kills_the_worker_and_its_children(world: World) -> None:
    run_id = world.begin(seconds="600", spawn="true").id
    world.drive(run_id, lambda run: run.progress > 0.4)
    run_dir = world.workers.dir_of(run_id)
    child = int((run_dir.path / "work" / "child.pid").read_text())
    assert psutil.pid_exists(child) and run_dir.holder

    cancel_run(world.deps, run_id, by="anna", reason="wrong target")
    run = world.drive(run_id)

    assert (run.state, run.reason) == (RunState.CANCELLED, "cancelled by anna: wrong target")
    assert run_dir.holder is None and not psutil.pid_exists(child)
    assert not run_dir.data.exists() and not world.manifests()


@pytest.mark.slow
def test_cancelling_kills_a_forked_worker_and_its_children(
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
def test_an_interrupted_cancellation_is_completed_after_the_restart(world: World) -> None:
    run_id = world.begin(seconds="600").id
    world.drive(run_id, lambda run: run.state is RunState.TRAINING)
    cancel_run(world.deps, run_id)
    world.restart()
    assert world.drive(run_id).state is RunState.CANCELLED
    assert world.workers.dir_of(run_id).holder is None


@pytest.mark.slow
def test_an_untrainable_run_fails_at_once_with_the_worker_s_reason(world: World) -> None:
    request = RunRequest("shifts", "a test", "test", dataset_digest="sha256:" + "0" * 64)
    run = world.drive(request_run(world.deps, request).id)
    assert (run.state, run.attempt) == (RunState.FAILED, 0)
    assert "the registry has no sha256:000" in run.reason

    without = world.drive(request_run(world.deps, RunRequest("shifts", "a test", "test")).id)
    assert (without.state, without.attempt) == (RunState.FAILED, 1)
    assert "has no version yet" in without.reason and "give dataset_digest" in without.reason


@pytest.mark.slow
def test_a_run_that_exceeds_its_time_limit_fails(world: World) -> None:
    run_id = world.begin(seconds="600").id
    world.drive(run_id, lambda run: run.state is RunState.TRAINING)
    world.clock.advance(Limits().max_run_s + 1)
    run = world.drive(run_id)
    assert run.state is RunState.FAILED and "exceeded its time limit" in run.reason
    assert world.workers.dir_of(run_id).holder is None


@pytest.mark.slow
def test_runs_of_several_models_wait_for_a_free_slot(world: World) -> None:
    world.given_model("other")
    first = world.begin(seconds="1")
    world.clock.advance(1)
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
    second = subprocess.run(
        [sys.executable, "-m", WORKER, str(world.workers.dir_of(run_id).path)],
        env={**os.environ, "PYTHONPATH": PYTHONPATH},
        timeout=60,
        check=False,
    )
    assert second.returncode == 0
    assert world.workers.dir_of(run_id).holder == holder


@pytest.mark.slow
def test_workers_of_ended_runs_are_killed_at_start(world: World) -> None:
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
def test_a_torn_line_of_progress_is_skipped(world: World, torn: str) -> None:
    run_dir = world.workers.dir_of(world.begin().id)
    run_dir.path.mkdir(parents=True)
    run_dir.report(progress=0.3, note="so far")
    with (run_dir.path / "progress.jsonl").open("a") as file:
        file.write(torn)
    [line] = run_dir.progress
    assert (line["progress"], line["note"]) == (0.3, "so far")


def test_a_large_upload_delays_neither_cancellations_nor_other_runs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, publish = Event(), world.gateway.publish

    def slow(run: Run, output: Output) -> int:
        if run.model == "large":
            assert sent.wait(120)
        return publish(run, output)

    monkeypatch.setattr(world.gateway, "publish", slow)
    world.given_model("large")
    world.restart()
    large = world.begin("large")
    world.drive(large.id, lambda run: run.state is RunState.REGISTERING)

    cancelled = world.begin("shifts", seconds="600")
    world.drive(cancelled.id, lambda run: run.attempt == 1)
    cancel_run(world.deps, cancelled.id)
    assert world.drive(cancelled.id).state is RunState.CANCELLED
    assert world.drive(world.begin("shifts").id).state is RunState.SUCCEEDED
    assert world.runs.get(large.id).state is RunState.REGISTERING

    sent.set()
    assert world.drive(large.id).state is RunState.SUCCEEDED


def test_open_runs_are_found_by_an_index(world: World) -> None:
    """The supervisor asks several times a second."""
    with statements(world.database.engine) as executed:
        world.runs.open_runs()
    assert plans(world.database.engine, executed) == "SCAN runs USING INDEX runs_open"
