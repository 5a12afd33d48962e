"""Run a recipe's functions in the warm Ray's fitters, which have loaded scikit-learn, or in tasks of any Ray."""

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
"""Repeats of a call whose process in Ray dies."""

Start = Callable[..., Any]
"""Function and arguments to Ray's reference of the result; references among the arguments become values."""


class Fitter:
    """A Ray actor: a process that makes one call after the other."""

    def __init__(self, modules: Sequence[str]) -> None:
        for name in modules:
            importlib.import_module(name)

    def call(self, folder: str, pid: int, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function for the worker `pid` of a run's folder.

        If the worker is cancelled or dies, this process ends and Ray starts a new one: a running fit cannot be stopped
        in another way, and would delay the next run.
        """
        run_dir = RunDir(Path(folder))
        if run_dir.holder != pid:
            raise RuntimeError(f"the worker {pid} of {folder} has ended")
        with ending_with(run_dir, pid, f"the worker {pid}"):
            return function(*args)


def start_fitters(ray: Any, count: int, modules: Sequence[str]) -> dict[str, Any]:
    """Start fitters, by name; they load `modules` in the background.

    They live as long as the returned handles. They reserve no CPU, so that a recipe's own Ray tasks find all free.
    """
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=TASK_RETRIES)(Fitter)
    names = [f"fitter-{number}" for number in range(count)]
    return {name: actor.options(name=name, namespace=NAMESPACE).remote(modules) for name in names}


class Pool:
    """Calls functions in parallel in the connected Ray. folder: the run's folder."""

    def __init__(self, ray: Any, folder: Path) -> None:
        self._ray = ray
        self._fitters: list[Start] = [partial(actor.call.remote, str(folder), os.getpid()) for actor in _fitters(ray)]

    def put(self, value: object) -> Any:
        """Store a value in Ray; it is sent once, for any number of calls that have it among their arguments."""
        return self._ray.put(value)

    def each(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """Yield the results as they arrive; raises the first error.

        A fitter has one call of a run at a time, so that concurrent runs take turns.
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
        """Return the result of one call."""
        return next(self.each(function, [args]))

    def _task(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._ray.remote(num_cpus=1, max_retries=TASK_RETRIES)(function).remote(*args)


def _fitters(ray: Any) -> list[Any]:
    """Fitters of the warm Ray, rotated by run; none in another Ray."""
    host = os.environ.get(WARM_RAY)
    if host is None or os.environ.get("RAY_ADDRESS"):
        return []
    found = connection(Path(host))
    names = found["fitters"] if found is not None else []
    first = os.getpid() % max(len(names), 1)
    return [ray.get_actor(name, namespace=NAMESPACE) for name in (*names[first:], *names[:first])]
