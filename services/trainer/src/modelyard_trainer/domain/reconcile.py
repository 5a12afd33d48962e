"""Decide the next step of an open run from its files and its worker; the same before and after a crash."""

from dataclasses import dataclass
from enum import StrEnum

from modelyard_contracts import RunState
from modelyard_trainer.domain.run import Run


class Action(StrEnum):
    """One step of the supervisor."""

    WAIT = "wait"
    START_WORKER = "start a worker"
    TAKE_RESULT = "take the result"
    REGISTER = "register"
    CANCEL = "cancel"
    FAIL = "fail"


@dataclass(frozen=True)
class Observed:
    """A run's worker and files, as found on this machine."""

    worker_alive: bool
    result: bool
    """The worker wrote a complete result."""
    failure: str | None
    """Reason why the worker cannot do the run; a restart would not help."""


@dataclass(frozen=True)
class Step:
    action: Action
    reason: str = ""


def next_step(run: Run, observed: Observed, *, free_slot: bool, max_attempts: int, overdue: bool = False) -> Step:
    """Return the next step; defined for every state (a final run waits).

    free_slot: whether one more worker may run on this machine. overdue: the run has passed its time limit.
    """
    if run.state.final:
        return Step(Action.WAIT)
    if run.state is RunState.REGISTERING:
        return Step(Action.REGISTER)
    if run.cancel_requested:
        return Step(Action.CANCEL, "cancelled on request")
    if overdue:
        return Step(Action.FAIL, "the run exceeded its time limit")
    if run.state is RunState.REQUESTED:
        return Step(Action.START_WORKER) if free_slot else Step(Action.WAIT, "waits for a free slot")
    return _working(run, observed, free_slot=free_slot, max_attempts=max_attempts)


def _working(run: Run, observed: Observed, *, free_slot: bool, max_attempts: int) -> Step:
    if observed.result:
        return Step(Action.TAKE_RESULT)
    if observed.worker_alive:
        return Step(Action.WAIT)
    if observed.failure is not None:
        return Step(Action.FAIL, observed.failure)
    if run.attempt >= max_attempts:
        return Step(Action.FAIL, f"its worker died {run.attempt} times")
    return Step(Action.START_WORKER) if free_slot else Step(Action.WAIT, "waits for a free slot")
