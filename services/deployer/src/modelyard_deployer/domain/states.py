"""The rollout's life as a table; what it does not hold is an error."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from modelyard_contracts import RolloutState as State


class Signal(StrEnum):
    """What may happen to a rollout."""

    BEGIN = "begin"
    """Its turn has come and its version is known to be allowed."""
    READY = "ready"
    """Its replicas answer; the first share of traffic goes out."""
    STEP = "step"
    """The evidence of this step is good: the next share."""
    HOLD = "hold"
    """The step's time is over and the evidence is not enough."""
    COMPLETE = "complete"
    """All traffic is there and the routers have said so."""
    RETURN = "return"
    """The same, for a roll-back."""
    ABORT = "abort"
    FAIL = "fail"


class IllegalMove(Exception):
    """A signal that the state does not know: a bug of ours, never skipped."""

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
    """Follow the table; a pair it does not hold is an error, never a silent stay."""
    if (state, signal) not in MOVES:
        raise IllegalMove(state, signal)
    return MOVES[state, signal]
