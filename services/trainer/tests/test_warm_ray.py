"""The Ray that runs share: one for successive runs, gone when idle, started again when it dies, and nothing left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from modelyard_contracts import RunState
from modelyard_runtime.testing import wait_until
from modelyard_trainer.domain.run import Run
from modelyard_trainer.processes import MARK
from modelyard_trainer.usecases import Wanted, cancel_run, request_run
from modelyard_trainer.warm_ray import WarmRay, connection

from .helpers.world import World

IDLE_S = 60.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Warm(World):
    """A trainer with a warm Ray and a clock for its idle time."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 0.0
        super().__init__(folder)

    def restart(self, warm_ray: WarmRay | None = None) -> None:
        self.ray = WarmRay(self.folder / "ray", 1, IDLE_S, lambda: self.now_s)
        super().restart(self.ray)

    def train(self, seconds: float = 0.0) -> Run:
        parameters = {"seconds": str(seconds)}
        wanted = Wanted("shifts", "a test", "test", recipe="on-ray", dataset_digest=self.dataset, parameters=parameters)
        return request_run(self.deps, wanted)

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
    assert (warm.folder / "ray" / "address.json").stat().st_mode & 0o077 == 0  # the token is in it

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
    assert (run.state, run.attempt, len(warm.registry.versions)) == (RunState.SUCCEEDED, 2, 1), run.reason
    assert warm.ray.starts == 2 and len(which(warm, run)) == 2


def test_a_cancel_ends_the_worker_and_leaves_ray_to_the_next_run(warm: Warm) -> None:
    run_id = warm.train(300).id
    warm.drive(run_id, lambda run: "in the Ray" in run.reason, timeout_s=180)
    host = warm.ray.pid
    cancel_run(warm.deps, run_id)
    assert warm.drive(run_id, timeout_s=20).state is RunState.CANCELLED
    assert warm.ray.pid == host and host
    assert warm.drive(warm.train().id, timeout_s=120).state is RunState.SUCCEEDED  # its one CPU is free again
    assert warm.ray.starts == 1


def test_a_ray_whose_trainer_was_killed_ends_by_itself(tmp_path: Path, loopback: None) -> None:
    folder = tmp_path / "ray"
    program = (
        "import sys, time; from pathlib import Path; from modelyard_trainer.warm_ray import WarmRay;"
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
