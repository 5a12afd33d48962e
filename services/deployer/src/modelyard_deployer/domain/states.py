"""States of a rollout as a table; any other move is an error."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from modelyard_contracts import RolloutState as State


class Signal(StrEnum):
    """Events in the life of a rollout."""

    BEGIN = "begin"
    """It is first in the queue and its version may serve."""
    READY = "ready"
    """Its replicas are ready; the first share of traffic is published."""
    STEP = "step"
    """The guardrails of this step hold; the next share is published."""
    HOLD = "hold"
    """The step's minimum time is over and the evidence is not sufficient."""
    COMPLETE = "complete"
    """All traffic is on the new version and the routers confirmed it."""
    RETURN = "return"
    """The same, for a roll-back."""
    ABORT = "abort"
    FAIL = "fail"


class IllegalMove(Exception):
    """A signal that the state does not allow: a defect of the deployer, never skipped."""

    retryable = False

    def __init__(self, state: State, signal: Signal) -> None:
        super().__init__(f"a rollout that is {state} cannot {signal}")
        self.state, self.signal = state, signal


MOVES: Final[Mapping[tuple[State, Signal], State]] = {
    (State.PENDING, Signal.BEGIN): State.PREPARING,
    (State.PENDING, Signal.ABORT): State.ABORTED,
    (State.PENDING, Signal.FAIL): State.FAILED,
    (State.PREPARING, Signal.READY): State.SHIFTING,
    (State.PREPARING, Signal.ABORT): State.ABORTED,
    (State.PREPARING, Signal.FAIL): State.FAILED,
    (State.SHIFTING, Signal.STEP): State.SHIFTING,
    (State.SHIFTING, Signal.HOLD): State.HOLDING,
    (State.SHIFTING, Signal.COMPLETE): State.PROMOTED,
    (State.SHIFTING, Signal.RETURN): State.ROLLED_BACK,
    (State.SHIFTING, Signal.ABORT): State.ABORTED,
    (State.HOLDING, Signal.STEP): State.SHIFTING,
    (State.HOLDING, Signal.ABORT): State.ABORTED,
}


def next_state(state: State, signal: Signal) -> State:
    """Follow the table; a missing pair is an error and never ignored."""
    if (state, signal) not in MOVES:
        raise IllegalMove(state, signal)
    return MOVES[state, signal]
