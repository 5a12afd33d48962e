"""Where a recipe's functions run: in the warm Ray's fitters, which have scikit-learn loaded, or in tasks of any Ray."""

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from modelyard_trainer.jobs.rundir import RunDir
from modelyard_trainer.jobs.warm_ray import WARM_RAY, connection
from modelyard_trainer.worker.watch import ending_with

NAMESPACE: Final = "modelyard-trainer"
TASK_RETRIES: Final = 3
"""Of a call whose process in Ray dies."""

Start = Callable[..., Any]
"""A function and its arguments to Ray's reference of the result; references among the arguments become values."""


class Fitter:
    """A Ray actor: one process that calls what it is given, one call after the other."""

    def __init__(self, modules: Sequence[str]) -> None:
        for name in modules:
            importlib.import_module(name)

    def call(self, folder: str, pid: int, function: Callable[..., Any], *args: Any) -> Any:
        """For the worker `pid` of a run's folder: when it is cancelled or dies, this process ends, and Ray starts a
        new one: a running fit cannot be stopped otherwise, and would keep the next run waiting."""
        place = RunDir(Path(folder))
        if place.holder != pid:
            raise RuntimeError(f"the worker {pid} of {folder} has ended")
        with ending_with(place, pid, f"the worker {pid}"):
            return function(*args)


def start_fitters(ray: Any, number: int, modules: Sequence[str]) -> dict[str, Any]:
    """Fitters by their names, at once; they load `modules` in the background.

    They live as long as somebody keeps what this returns. They reserve no CPU: a recipe's own Ray tasks find all free.
    """
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=TASK_RETRIES)(Fitter)
    names = [f"fitter-{place}" for place in range(number)]
    return {name: actor.options(name=name, namespace=NAMESPACE).remote(modules) for name in names}


class Pool:
    """Calls functions in parallel, in the Ray that the worker is connected to. folder: the run's."""

    def __init__(self, ray: Any, folder: Path) -> None:
        self._ray = ray
        self._fitters: list[Start] = [partial(actor.call.remote, str(folder), os.getpid()) for actor in _fitters(ray)]

    def put(self, value: object) -> Any:
        """A reference: sent once, however many calls have it among their arguments."""
        return self._ray.put(value)

    def each(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """The results as they come; the first error ends it.

        A fitter has one call of ours at a time, so that runs at the same time take turns.
        """
        todo, free = list(reversed(calls)), list(self._fitters) or [self._task] * len(calls)
        waiting: dict[Any, Start] = {}
        while todo or waiting:
            while todo and free:
                start = free.pop()
                waiting[start(function, *todo.pop())] = start
            [done], _ = self._ray.wait(list(waiting), num_returns=1)
            free.append(waiting.pop(done))
            yield self._ray.get(done)

    def one(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of one call."""
        return next(self.each(function, [args]))

    def _task(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._ray.remote(num_cpus=1, max_retries=TASK_RETRIES)(function).remote(*args)


def _fitters(ray: Any) -> list[Any]:
    """Those of the warm Ray, each run's beginning with another one; none elsewhere."""
    host = os.environ.get(WARM_RAY)
    if host is None or os.environ.get("RAY_ADDRESS"):
        return []
    found = connection(Path(host))
    names = found["fitters"] if found is not None else []
    first = os.getpid() % max(len(names), 1)
    return [ray.get_actor(name, namespace=NAMESPACE) for name in (*names[first:], *names[:first])]
