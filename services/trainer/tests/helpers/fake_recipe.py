"""Recipes for tests: quick, with failures on request."""

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
    """Duration."""
    deaths: int = 0
    """Number of workers that kill themselves."""
    spawn: bool = False
    """Start a child in its own session, as Ray does."""


RECIPE = Recipe("fake", Parameters, f"{__name__}:run")
IN_POOL = Recipe("in-pool", Parameters, f"{__name__}:run_in_pool", shares_ray=True)
ON_RAY = Recipe("on-ray", Parameters, f"{__name__}:run_on_ray", shares_ray=True)


def run_on_ray(work: Any) -> Any:
    """Spend the time in a Ray task, and report its Ray."""
    from modelyard_trainer.worker.ray_session import ray_session

    seconds = work.parameters.seconds
    work.report(0.0, "starting Ray")
    with ray_session(work.folder.parent, work.ray_cpus) as ray:
        work.report(0.2, f"in the Ray at {ray.get_runtime_context().gcs_address}")
        ray.get(ray.remote(num_cpus=1)(lambda: time.sleep(seconds)).remote())  # sleep: the duration of the run
    return run(replace(work, parameters=Parameters()))


def run_in_pool(work: Any) -> Any:
    """Make two calls in the pool; `deaths` of them kill themselves.

    Each writes its process id beside the work folder, which is deleted when the run ends.
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
    time.sleep(parameters.seconds)  # sleep: the duration of the run
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
    time.sleep(parameters.seconds)  # sleep: the duration of the run
    encoding = Encoding.learn(work.used.numeric, work.used.categorical, work.signature.classes)
    width, classes = encoding.width, len(work.signature.classes)
    tensors = {"input.mean": np.zeros(width), "input.scale": np.ones(width)}
    tensors |= {"layers.0.weight": np.zeros((classes, width)), "layers.0.bias": np.linspace(0, 1, classes)}
    fitted = FittedMlp({name: value.astype(np.float32) for name, value in tensors.items()}, encoding)
    outputs = np.tile(np.arange(1, classes + 1) / np.arange(1, classes + 1).sum(), (len(work.holdout), 1))
    return Trained("torch-mlp", fitted, outputs, "a fake one", {"validation_accuracy": 0.5})
