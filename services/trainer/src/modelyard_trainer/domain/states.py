"""The states of a run as a table; a move that is not in it is an error."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from modelyard_contracts import RunState
from modelyard_trainer.domain.errors import IllegalMove


class Signal(StrEnum):
    """An event in the life of a run."""

    STARTED = "started"
    DATA_READY = "given its data"
    TRAINED = "trained"
    REGISTERED = "registered"
    FAILED = "failed"
    CANCELLED = "cancelled"


MOVES: Final[Mapping[tuple[RunState, Signal], RunState]] = {
    (RunState.REQUESTED, Signal.STARTED): RunState.SNAPSHOTTING,
    (RunState.REQUESTED, Signal.FAILED): RunState.FAILED,
    (RunState.REQUESTED, Signal.CANCELLED): RunState.CANCELLED,
    (RunState.SNAPSHOTTING, Signal.DATA_READY): RunState.TRAINING,
    (RunState.SNAPSHOTTING, Signal.FAILED): RunState.FAILED,
    (RunState.SNAPSHOTTING, Signal.CANCELLED): RunState.CANCELLED,
    (RunState.TRAINING, Signal.TRAINED): RunState.REGISTERING,
    (RunState.TRAINING, Signal.FAILED): RunState.FAILED,
    (RunState.TRAINING, Signal.CANCELLED): RunState.CANCELLED,
    # Not cancellable from here on: the version may exist already, and versions are immutable.
    (RunState.REGISTERING, Signal.REGISTERED): RunState.SUCCEEDED,
    (RunState.REGISTERING, Signal.FAILED): RunState.FAILED,
}


def next_state(state: RunState, signal: Signal) -> RunState:
    """Follow the table; IllegalMove for a pair that is not in it."""
    if (state, signal) not in MOVES:
        raise IllegalMove(state, signal.value)
    return MOVES[state, signal]
