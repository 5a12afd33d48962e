"""A recipe for tests: one Ray task, in the shared Ray, that says which Ray it was in and takes its time."""

import time
from dataclasses import replace
from typing import Any

from fake_recipe import Parameters
from fake_recipe import run as fake

from modelyard_trainer.domain.recipes import Recipe

RECIPE = Recipe("on-ray", Parameters, f"{__name__}:run", shares_ray=True)


def run(work: Any) -> Any:
    from modelyard_trainer.worker.ray_session import ray_session

    work.tell(0.0, "starting Ray")
    with ray_session(work.folder.parent, work.ray_cpus) as ray:
        session = ray.get_runtime_context().gcs_address
        work.tell(0.2, f"in the Ray at {session}")
        seconds = work.parameters.seconds
        ray.get(ray.remote(num_cpus=1)(lambda: time.sleep(seconds)).remote())
    return fake(replace(work, parameters=Parameters()))
