import pytest

from modelyard_contracts import VersionStage
from modelyard_registry.domain.errors import IllegalMove
from modelyard_registry.domain.stages import MOVES, Signal, can_move, next_stage


def test_what_the_table_does_not_hold_is_an_error_never_a_silent_stay() -> None:
    for stage in VersionStage:
        for signal in Signal:
            if (stage, signal) in MOVES:
                assert next_stage(stage, signal) is not stage
            else:
                assert not can_move(stage, signal)
                with pytest.raises(IllegalMove, match=f"{stage}.*{signal}"):
                    next_stage(stage, signal)


def test_the_way_to_traffic_has_no_short_cut() -> None:
    into = {stage: {start for (start, _), end in MOVES.items() if end is stage} for stage in VersionStage}
    assert into[VersionStage.LIVE] == {VersionStage.APPROVED}
    by_a_person = {VersionStage.REGISTERED, VersionStage.REJECTED}
    assert into[VersionStage.APPROVED] == {VersionStage.EVALUATED, VersionStage.LIVE} | by_a_person
    assert into[VersionStage.EVALUATED] == {VersionStage.REGISTERED}
    assert into[VersionStage.PENDING] == set()


def test_retired_is_the_end_and_rejected_returns_by_an_approval_only() -> None:
    out = {stage: {end for (start, _), end in MOVES.items() if start is stage} for stage in VersionStage}
    assert out[VersionStage.RETIRED] == set()
    assert out[VersionStage.REJECTED] == {VersionStage.RETIRED, VersionStage.APPROVED}
    assert next_stage(VersionStage.REJECTED, Signal.APPROVED) is VersionStage.APPROVED
