"""Ray missing, broken or unreachable: the run's reason is one line with the remedy, without a long wait."""

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelyard_contracts import RunState
from modelyard_trainer.app import warm_ray_of
from modelyard_trainer.domain.errors import ClusterAway, RayNotStarted
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.jobs import warm_ray
from modelyard_trainer.jobs.catalogue import known_recipes
from modelyard_trainer.jobs.warm_ray import WarmRay
from modelyard_trainer.settings import Settings
from modelyard_trainer.usecases import RunRequest, request_run
from modelyard_trainer.worker import ray_session
from modelyard_trainer.worker.ray_session import await_cluster

from .helpers.world import PYTHONPATH, World

MISSING = "Ray cannot be used here (libray.so: no such file); pip install ray"


@pytest.fixture
def no_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A PYTHONPATH where Ray is installed and cannot be imported."""
    broken = tmp_path / "broken" / "ray"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libray.so: no such file')")
    path = f"{broken.parent}:{PYTHONPATH}"
    monkeypatch.setenv("PYTHONPATH", path)
    yield path


def begin(world: World, model: str = "shifts") -> None:
    world.given_model(model)
    request_run(world.deps, RunRequest(model, "a test", "test", recipe="on-ray", dataset_digest=world.dataset))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_shared_ray_that_cannot_start_ends_the_runs_that_wait_for_it_with_the_remedy(
    tmp_path: Path, no_ray: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_ray, "RESTART_S", 0.1)
    world = World(tmp_path / "trainer", limits=Limits(max_running=0))
    ray = WarmRay(tmp_path / "trainer" / "ray", 1, 60.0)
    try:
        world.restart(ray)
        begin(world)
        begin(world, "other")
        for run in world.runs.open_runs():
            ended = world.drive(run.id, timeout_s=200)
            assert ended.state is RunState.FAILED
            assert "the shared Ray cannot start" in ended.reason
            assert MISSING in ended.reason
            assert "Traceback" not in ended.reason
        starts = ray.starts
        begin(world)  # the next run tries again
        world.supervisor.tick()
        assert len(world.runs.open_runs()) == 1
        assert starts >= 3
    finally:
        world.supervisor.close()
        world.close()


@pytest.mark.process
@pytest.mark.timeout(300)
def test_a_worker_without_ray_fails_at_once_with_the_remedy(tmp_path: Path, no_ray: str) -> None:
    world = World(tmp_path / "trainer", pythonpath=no_ray)
    try:
        begin(world)
        [run] = world.runs.open_runs()
        ended = world.drive(run.id, timeout_s=200)
        assert (ended.state, ended.attempt) == (RunState.FAILED, 1)
        assert ended.reason.startswith(MISSING)
    finally:
        world.close()


def test_with_a_cluster_there_is_no_ray_of_ours_that_could_be_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef")
    settings = Settings(admin_key_file=key, data_dir=tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert warm_ray_of(settings, known_recipes({})) is not None
    monkeypatch.setenv("RAY_ADDRESS", "ray-head:6379")
    assert warm_ray_of(settings, known_recipes({})) is None


def test_a_cluster_that_is_away_is_named_with_the_remedy(loopback: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ClusterAway, match=f"RAY_ADDRESS: no Ray cluster answers at {address} .*unset it") as error:
            await_cluster(address, wait_s=0.0)
        assert error.value.retryable
        taken.listen()
        await_cluster(address, wait_s=0.0)
        await_cluster(f"ray://{address}", wait_s=0.0)
    await_cluster("auto", wait_s=0.0)


def test_a_ray_that_does_not_start_is_one_line_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_slow(**options: object) -> None:
        raise Exception("The current node timed out during startup.")  # noqa: TRY002  as Ray raises it

    monkeypatch.setattr(ray_session, "import_ray", lambda: SimpleNamespace(init=too_slow))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-this-test")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    expected = r"did not start on this machine .*timed out.*RAY_ADDRESS"
    with pytest.raises(RayNotStarted, match=expected) as found, ray_session.own_ray(tmp_path, 1):
        pass
    assert found.value.retryable
