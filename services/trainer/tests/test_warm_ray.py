"""The shared Ray: one for successive runs, stopped when idle, restarted when it dies, with no leftovers."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from modelyard_contracts import RunState
from modelyard_devstack.testing import wait_until
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.domain.run import Run
from modelyard_trainer.jobs.processes import MARK
from modelyard_trainer.jobs.warm_ray import WarmRay, connection
from modelyard_trainer.usecases import RunRequest, cancel_run, request_run

from .helpers.world import PYTHONPATH, World

IDLE_S = 60.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Warm(World):
    """A trainer with a warm Ray and a clock for its idle time."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        self.now_s = 0.0
        super().__init__(folder, limits=limits)

    def restart(self, warm_ray: WarmRay | None = None) -> None:
        self.ray = WarmRay(self.folder / "ray", 1, IDLE_S, lambda: self.now_s)
        super().restart(self.ray)

    def train(self, seconds: float = 0.0, recipe: str = "on-ray", model: str = "shifts", **more: str) -> Run:
        parameters = {"seconds": str(seconds), **more}
        request = RunRequest(model, "a test", "test", recipe=recipe, dataset_digest=self.dataset, parameters=parameters)
        return request_run(self.deps, request)

    def calls(self, run: Run) -> list[tuple[int, int]]:
        """Which call of the run was in which process, in their order."""
        marks = sorted(self.workers.dir_of(run.id).path.glob("call-*"), key=lambda mark: mark.stat().st_mtime)
        return [(int(call), int(pid)) for _, call, pid in (mark.name.split("-") for mark in marks)]

    def processes(self) -> list[psutil.Process]:
        """All that belong to the Ray of this trainer."""
        return [process for process in psutil.process_iter() if _belongs(process, self.folder / "ray")]

    def temporary(self) -> Path:
        return Path((self.folder / "ray" / "ray-dir.txt").read_text())

    def gone(self) -> bool:
        return not self.processes() and not (self.folder / "ray" / "ray-dir.txt").exists()

    def close(self) -> None:
        self.supervisor.close()
        super().close()


def _belongs(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.environ().get(MARK) == str(folder.resolve())
    except (psutil.Error, OSError):
        return False


@pytest.fixture
def warm(tmp_path: Path, loopback: None) -> Iterator[Warm]:
    warm = Warm(tmp_path / "trainer")
    yield warm
    warm.close()


def which(warm: Warm, run: Run) -> set[str]:
    """The Rays that a run was in."""
    notes = [line["note"] for line in warm.workers.dir_of(run.id).progress]
    return {note for note in notes if note.startswith("in the Ray at")}


def test_two_runs_in_a_row_use_the_same_ray_and_idle_time_ends_it(warm: Warm) -> None:
    first = warm.drive(warm.train().id, timeout_s=180)
    host = warm.ray.pid
    second = warm.drive(warm.train().id, timeout_s=180)
    assert first.state is second.state is RunState.SUCCEEDED, second.reason
    assert (warm.ray.starts, warm.ray.pid) == (1, host) and host
    assert which(warm, first) == which(warm, second) and len(which(warm, first)) == 1
    assert not list(warm.workers.dir_of(second.id).path.glob("ray*"))
    temporary = warm.temporary()
    assert (warm.folder / "ray" / "address.json").stat().st_mode & 0o077 == 0

    warm.now_s += IDLE_S - 1
    warm.supervisor.tick()
    assert warm.ray.pid == host
    warm.now_s += 2
    warm.supervisor.tick()
    assert warm.ray.pid is None and warm.gone() and not temporary.exists()


def test_a_ray_that_is_killed_in_mid_run_ends_in_one_version_by_a_second_attempt(warm: Warm) -> None:
    run_id = warm.train(5).id
    warm.drive(run_id, lambda run: "in the Ray" in run.reason, timeout_s=180)
    assert warm.ray.pid
    os.kill(warm.ray.pid, signal.SIGKILL)
    run = warm.drive(run_id, timeout_s=240)
    assert (run.state, run.attempt, len(warm.manifests())) == (RunState.SUCCEEDED, 2, 1), run.reason
    assert warm.ray.starts == 2 and len(which(warm, run)) == 2


def test_a_cancel_ends_the_worker_and_leaves_ray_to_the_next_run(warm: Warm) -> None:
    run_id = warm.train(300).id
    warm.drive(run_id, lambda run: "in the Ray" in run.reason, timeout_s=180)
    host = warm.ray.pid
    cancel_run(warm.deps, run_id)
    assert warm.drive(run_id).state is RunState.CANCELLED
    assert warm.ray.pid == host and host
    assert warm.drive(warm.train().id, timeout_s=120).state is RunState.SUCCEEDED  # its one CPU is free again
    assert warm.ray.starts == 1


def test_a_ray_whose_trainer_was_killed_ends_by_itself(tmp_path: Path, loopback: None) -> None:
    folder = tmp_path / "ray"
    program = (
        "import sys, time; from pathlib import Path; from modelyard_trainer.jobs.warm_ray import WarmRay;"
        "WarmRay(Path(sys.argv[1]), 1, 60).keep(wanted=True); time.sleep(600)"
    )
    trainer = subprocess.Popen([sys.executable, "-c", program, str(folder)])
    try:
        wait_until(lambda: connection(folder) is not None, 120)
        temporary = Path((folder / "ray-dir.txt").read_text())
        processes = [process for process in psutil.process_iter() if _belongs(process, folder)]
        assert len(processes) >= 3
    finally:
        trainer.kill()
        trainer.wait()
    psutil.wait_procs(processes, timeout=60)
    assert not [process for process in processes if process.is_running()]
    wait_until(lambda: not temporary.exists(), 30)
    assert connection(folder) is None


def test_a_ray_that_outlived_its_trainer_is_ended_by_the_next_start(warm: Warm) -> None:
    warm.train(60)
    wait_until(lambda: warm.supervisor.tick() > 0 and connection(warm.folder / "ray") is not None, 120)
    left, temporary = warm.processes(), warm.temporary()
    stopped = warm.ray  # its end of the pipe stays open, as if the host did not look
    warm.restart()
    warm.supervisor.tidy()
    assert warm.gone() and not temporary.exists() and left
    stopped.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """One Ray for the tests below, with one fitter and two runs at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PYTHONPATH)  # as a service has it whose own recipes are in TRAINER_RECIPES
        warm = Warm(tmp_path_factory.mktemp("fitters") / "trainer", Limits(max_running=2))
        warm.given_model("other")
        yield warm
        warm.close()


def test_successive_runs_find_the_same_fitter(shared: Warm, loopback: None) -> None:
    runs = [shared.drive(shared.train(recipe="in-pool").id, timeout_s=180) for _ in range(2)]
    assert [run.state for run in runs] == [RunState.SUCCEEDED] * 2, runs[-1].reason
    [fitter] = {pid for run in runs for _, pid in shared.calls(run)}
    assert psutil.Process(fitter).is_running()


def test_a_fitter_that_is_killed_in_a_call_is_replaced_and_the_run_goes_on(shared: Warm, loopback: None) -> None:
    run = shared.drive(shared.train(recipe="in-pool", deaths="1").id, timeout_s=180)
    assert (run.state, run.attempt, shared.ray.starts) == (RunState.SUCCEEDED, 1, 1), run.reason
    calls = shared.calls(run)
    assert [call for call, _ in calls] == [0, 0, 1, 1] and calls[1][1] != calls[0][1]


def test_a_cancel_gives_the_fitter_back(shared: Warm, loopback: None) -> None:
    cancelled = shared.train(300, recipe="in-pool")
    shared.drive(cancelled.id, lambda run: bool(shared.calls(run)), timeout_s=180)
    cancel_run(shared.deps, cancelled.id)
    assert shared.drive(cancelled.id).state is RunState.CANCELLED
    run = shared.drive(shared.train(recipe="in-pool").id, timeout_s=120)
    assert (run.state, run.attempt, shared.ray.starts) == (RunState.SUCCEEDED, 1, 1), run.reason
    [(_, busy)] = shared.calls(cancelled)
    assert not psutil.pid_exists(busy)


def test_runs_at_the_same_time_take_turns_on_the_fitter(shared: Warm, loopback: None) -> None:
    runs = [shared.train(3, recipe="in-pool", model=model) for model in ("shifts", "other")]
    ended = [shared.drive(run.id, timeout_s=180) for run in runs]
    assert [run.state for run in ended] == [RunState.SUCCEEDED] * 2
    marks = [
        (mark.stat().st_mtime, run.model) for run in runs for mark in shared.workers.dir_of(run.id).path.glob("call-*")
    ]
    turns = [model for _, model in sorted(marks)]
    assert turns in (["shifts", "other"] * 2, ["other", "shifts"] * 2)
