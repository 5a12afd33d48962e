"""What to do next for an open run, from what is on disk and what lives; the same answer before and after a crash."""

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
class Seen:
    """A run as the machine shows it."""

    worker_alive: bool
    result: bool
    """The worker left a complete result."""
    failure: str | None
    """The worker's own words that it cannot be done; starting it again would not help."""


@dataclass(frozen=True)
class Step:
    action: Action
    reason: str = ""


def next_step(run: Run, seen: Seen, *, free_slot: bool, max_attempts: int, overdue: bool = False) -> Step:
    """Total over all open runs; a final one waits.

    free_slot: whether one more worker may run on this machine. overdue: it has been running for too long.
    """
    if run.state.final:
        return Step(Action.WAIT)
    if run.state is RunState.REGISTERING:
        return Step(Action.REGISTER)
    if run.cancel_requested:
        return Step(Action.CANCEL, "cancelled on request")
    if overdue:
        return Step(Action.FAIL, "it took longer than a run may take")
    if run.state is RunState.REQUESTED:
        return Step(Action.START_WORKER) if free_slot else Step(Action.WAIT, "waits for a free place")
    return _working(run, seen, free_slot=free_slot, max_attempts=max_attempts)


def _working(run: Run, seen: Seen, *, free_slot: bool, max_attempts: int) -> Step:
    if seen.result:
        return Step(Action.TAKE_RESULT)
    if seen.worker_alive:
        return Step(Action.WAIT)
    if seen.failure is not None:
        return Step(Action.FAIL, seen.failure)
    if run.attempt >= max_attempts:
        return Step(Action.FAIL, f"its worker died {run.attempt} times")
    return Step(Action.START_WORKER) if free_slot else Step(Action.WAIT, "waits for a free place")
