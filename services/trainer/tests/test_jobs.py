"""The behaviour of a `Jobs` port, on local worker processes."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest

from modelyard_contracts.manifest import ManifestFile
from modelyard_devstack.testing import wait_until
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.domain.jobs import Job, JobSpec
from modelyard_trainer.domain.limits import Limits
from modelyard_trainer.jobs.local import LocalJobs
from modelyard_trainer.jobs.processes import Workers
from modelyard_trainer.jobs.retention import Folders

from .helpers.requests import request
from .helpers.world import PYTHONPATH, RECIPES, World

pytestmark = pytest.mark.slow


def opened(world: World) -> LocalJobs:
    """The jobs of a new service process on the same disk."""
    workers = Workers(world.folder / "jobs", {"PYTHONPATH": PYTHONPATH})
    return LocalJobs(workers, world.gateway, Folders(workers, Limits(), world.clock))


@pytest.fixture
def jobs(world: World) -> Iterator[LocalJobs]:
    jobs = opened(world)
    yield jobs
    jobs.close()


def spec(world: World, run_id: UUID, dataset: str | None = None, **parameters: str) -> JobSpec:
    digest = dataset or world.dataset
    fields = request(run_id=str(run_id), recipes=RECIPES, given_dataset=digest, parameters=parameters)
    return JobSpec(run_id, fields, dataset=digest)


def ended(jobs: LocalJobs, run_id: UUID) -> Job:
    wait_until(lambda: not jobs.observe(run_id).running, 60)
    return jobs.observe(run_id)


def test_an_unknown_job_does_not_run(jobs: LocalJobs) -> None:
    assert jobs.observe(uuid4()) == Job(running=False)


def test_a_job_ends_with_a_result_and_its_files(jobs: LocalJobs, world: World) -> None:
    run_id = uuid4()
    jobs.ensure(spec(world, run_id))
    job = ended(jobs, run_id)
    assert job.result is not None and job.result["recipe"] == job.recipe == "fake"
    assert (job.failure, job.dataset_digest) == (None, world.dataset)
    output = jobs.output(run_id)
    manifest = ManifestFile.read(output.manifest).manifest
    assert all((output.files / entry.path).is_file() for entry in manifest.files)

    jobs.release(run_id)
    assert not output.dataset.exists() and not output.files.exists()
    assert jobs.observe(run_id).result is not None  # what explains the run is kept


def test_a_job_that_runs_is_found_and_stopped_by_another_process(jobs: LocalJobs, world: World) -> None:
    run_id = uuid4()
    jobs.ensure(spec(world, run_id, seconds="600"))
    wait_until(lambda: "half" in jobs.observe(run_id).note, 60)
    other = opened(world)
    assert other.observe(run_id).running
    other.stop(run_id)
    other.stop(run_id)
    assert not other.observe(run_id).running and not jobs.observe(run_id).running


def test_a_job_can_be_started_again(jobs: LocalJobs, world: World) -> None:
    run_id = uuid4()
    jobs.ensure(spec(world, run_id, deaths="1"))
    died = ended(jobs, run_id)
    assert (died.result, died.failure) == (None, None) and "I am about to die" in died.last_words
    jobs.ensure(spec(world, run_id, deaths="1"))
    assert ended(jobs, run_id).result is not None


def test_a_job_that_cannot_be_done_gives_its_reason(jobs: LocalJobs, world: World) -> None:
    run_id = uuid4()
    jobs.ensure(spec(world, run_id, speed="9"))
    job = ended(jobs, run_id)
    assert job.failure is not None and "has no such parameter" in job.failure


def test_a_missing_dataset_is_an_error_of_the_start(jobs: LocalJobs, world: World) -> None:
    with pytest.raises(BadRequest, match="the registry has no sha256:000"):
        jobs.ensure(spec(world, uuid4(), dataset="sha256:" + "0" * 64))


def test_jobs_of_ended_runs_are_killed_after_a_start(jobs: LocalJobs, world: World) -> None:
    ended_run, open_run = uuid4(), uuid4()
    for run_id in (ended_run, open_run):
        jobs.ensure(spec(world, run_id, seconds="600"))
    for run_id in (ended_run, open_run):
        wait_until(lambda run_id=run_id: "half" in jobs.observe(run_id).note, 60)  # type: ignore[misc]
    other = opened(world)
    other.tidy({open_run})
    assert not other.observe(ended_run).running and other.observe(open_run).running
