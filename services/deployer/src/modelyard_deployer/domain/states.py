"""State machine of a rollout; a transition outside the table is an error."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from modelyard_contracts import RolloutState as State


class Signal(StrEnum):
    """Events in the life of a rollout."""

    BEGIN = "begin"
    """The rollout is first in the queue and its version may serve."""
    READY = "ready"
    """The replicas of its version are ready; the first step is published."""
    STEP = "step"
    """The guardrails of this step passed; the next step is published."""
    HOLD = "hold"
    """The minimum time of the step has passed without sufficient evidence."""
    COMPLETE = "complete"
    """All traffic is on the new version and the routers confirmed it, or the version served already."""
    RETURN = "return"
    """A roll-back is published, and routers applied it or are no longer waited for."""
    ABORT = "abort"
    FAIL = "fail"


class IllegalMove(Exception):
    """A signal that the state does not allow: a bug in the deployer, never ignored."""

    retryable = False

    def __init__(self, state: State, signal: Signal) -> None:
        super().__init__(f"a rollout that is {state} cannot {signal}")
        self.state, self.signal = state, signal


MOVES: Final[Mapping[tuple[State, Signal], State]] = {
    (State.PENDING, Signal.BEGIN): State.PREPARING,
    (State.PENDING, Signal.COMPLETE): State.PROMOTED,
    (State.PENDING, Signal.RETURN): State.ROLLED_BACK,
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
    """Return the next state; raise IllegalMove for a pair outside the table."""
    if (state, signal) not in MOVES:
        raise IllegalMove(state, signal)
    return MOVES[state, signal]
