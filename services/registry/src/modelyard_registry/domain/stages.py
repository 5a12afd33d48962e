"""Stages of a version, as a table of moves."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from modelyard_contracts import VersionStage as Stage
from modelyard_registry.domain.errors import IllegalMove


class Signal(StrEnum):
    """Reason of a move; each word completes "a version that is live cannot be ..."."""

    FINALIZED = "finalized"
    PASSED = "passed"
    FAILED = "failed"
    APPROVED = "approved"
    REJECTED = "rejected"
    PROMOTED = "promoted"
    REPLACED = "replaced"
    ROLLED_BACK = "rolled_back"
    RETIRED = "retired"


MOVES: Final[Mapping[tuple[Stage, Signal], Stage]] = {
    (Stage.PENDING, Signal.FINALIZED): Stage.REGISTERED,
    # The scan of its files refused the version, so that it never was registered.
    (Stage.PENDING, Signal.FAILED): Stage.REJECTED,
    (Stage.REGISTERED, Signal.PASSED): Stage.EVALUATED,
    (Stage.REGISTERED, Signal.FAILED): Stage.REJECTED,
    (Stage.EVALUATED, Signal.FAILED): Stage.REJECTED,
    (Stage.EVALUATED, Signal.APPROVED): Stage.APPROVED,
    # Decisions of a person, with a reason: no verdict was possible, or the version may return although it was rejected.
    (Stage.REGISTERED, Signal.APPROVED): Stage.APPROVED,
    (Stage.REJECTED, Signal.APPROVED): Stage.APPROVED,
    (Stage.APPROVED, Signal.PROMOTED): Stage.LIVE,
    (Stage.LIVE, Signal.REPLACED): Stage.APPROVED,
    # A version that did harm must not return by itself, so a roll-back rejects it.
    (Stage.LIVE, Signal.ROLLED_BACK): Stage.REJECTED,
    (Stage.APPROVED, Signal.ROLLED_BACK): Stage.REJECTED,
    # Harm during a live share, which a version may hold before it is approved (decision 0097).
    (Stage.REGISTERED, Signal.ROLLED_BACK): Stage.REJECTED,
    (Stage.EVALUATED, Signal.ROLLED_BACK): Stage.REJECTED,
    **{(stage, Signal.REJECTED): Stage.REJECTED for stage in (Stage.REGISTERED, Stage.EVALUATED, Stage.APPROVED)},
    (Stage.LIVE, Signal.REJECTED): Stage.REJECTED,
    **{(stage, Signal.RETIRED): Stage.RETIRED for stage in Stage if stage not in (Stage.PENDING, Stage.RETIRED)},
}


def can_move(stage: Stage, signal: Signal) -> bool:
    """Whether the table has the move."""
    return (stage, signal) in MOVES


def next_stage(stage: Stage, signal: Signal) -> Stage:
    """Follow the table; IllegalMove for a pair that it does not have."""
    if (stage, signal) not in MOVES:
        raise IllegalMove(stage, signal)
    return MOVES[stage, signal]
