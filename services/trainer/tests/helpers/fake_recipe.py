"""A recipe for tests: quick, without Ray, and as unlucky as asked."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from modelyard_contracts import Part
from modelyard_flavours import Encoding, FittedMlp
from modelyard_trainer.domain.recipes import Recipe


class Parameters(Part):
    seconds: float = 0.0
    """Time it takes."""
    deaths: int = 0
    """How many workers kill themselves before one lives."""
    spawn: bool = False
    """Leave a child in a session of its own, as Ray does."""


RECIPE = Recipe("fake", Parameters, f"{__name__}:run")
IN_POOL = Recipe("in-pool", Parameters, f"{__name__}:run_in_pool", shares_ray=True)
ON_RAY = Recipe("on-ray", Parameters, f"{__name__}:run_on_ray", shares_ray=True)


def run_on_ray(work: Any) -> Any:
    """Spends its time in a Ray task, and tells in which Ray."""
    from modelyard_trainer.worker.ray_session import ray_session

    seconds = work.parameters.seconds
    work.report(0.0, "starting Ray")
    with ray_session(work.folder.parent, work.ray_cpus) as ray:
        work.report(0.2, f"in the Ray at {ray.get_runtime_context().gcs_address}")
        ray.get(ray.remote(num_cpus=1)(lambda: time.sleep(seconds)).remote())
    return run(replace(work, parameters=Parameters()))


def run_in_pool(work: Any) -> Any:
    """Two calls in the pool; `deaths` is how many of them kill themselves.

    Each leaves its process id beside the work folder, which goes when the run ends.
    """
    from modelyard_trainer.worker.fitters import Pool
    from modelyard_trainer.worker.ray_session import ray_session

    with ray_session(work.folder.parent, work.ray_cpus) as ray:
        pool = Pool(ray, work.folder.parent)
        calls = [(work.folder.parent, place, work.parameters) for place in range(2)]
        done = sorted(pool.each(_in_pool, calls))
    work.report(0.4, f"done {done}")
    return run(replace(work, parameters=Parameters()))


def _in_pool(folder: Path, place: int, parameters: Parameters) -> int:
    mark = folder / f"call-{place}-{os.getpid()}"
    mark.touch()
    if len(list(folder.glob(f"call-{place}-*"))) <= parameters.deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(parameters.seconds)
    return place


def run(work: Any) -> Any:
    from modelyard_trainer.worker.work import Trained

    parameters: Parameters = work.parameters
    (work.folder / f"started-{os.getpid()}").touch()
    if parameters.spawn:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        (work.folder / "child.pid").write_text(str(child.pid))
    if len(list(Path(work.folder).glob("started-*"))) <= parameters.deaths:
        print("I am about to die", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    work.report(0.5, "half of it")
    time.sleep(parameters.seconds)
    encoding = Encoding.learn(work.used.numeric, work.used.categorical, work.schema.classes)
    width, classes = encoding.width, len(work.schema.classes)
    tensors = {"input.mean": np.zeros(width), "input.scale": np.ones(width)}
    tensors |= {"layers.0.weight": np.zeros((classes, width)), "layers.0.bias": np.linspace(0, 1, classes)}
    fitted = FittedMlp({name: value.astype(np.float32) for name, value in tensors.items()}, encoding)
    scores = np.full((len(work.validation), classes), 1 / classes)
    return Trained("torch-mlp", fitted, scores, "a fake one", {"validation_accuracy": 0.5})
