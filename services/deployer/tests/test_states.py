"""The table of states, and the steps."""

import pytest

from modelyard_contracts import RolloutState as State
from modelyard_contracts import RolloutStrategy
from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.states import MOVES, IllegalMove, Signal, next_state
from modelyard_deployer.domain.steps import choose_strategy, steps


def test_final_states_have_no_way_out_and_every_state_can_be_reached() -> None:
    assert not [state for state, _ in MOVES if state.final]
    assert {*MOVES.values(), State.PENDING} == set(State)


def test_every_open_state_can_be_aborted() -> None:
    for state in State:
        if not state.final:
            assert next_state(state, Signal.ABORT) is State.ABORTED


def test_a_move_that_the_table_does_not_hold_is_an_error() -> None:
    with pytest.raises(IllegalMove):
        next_state(State.ABORTED, Signal.STEP)


@pytest.mark.parametrize(
    ("given", "plan"),
    [((5, 20, 50, 100), (5, 20, 50, 100)), ((50,), (50, 100)), ((20, 5, 150, 0, 30), (20, 30, 100)), ((), (100,))],
)
def test_a_plan_rises_and_ends_with_all(given: tuple[float, ...], plan: tuple[float, ...]) -> None:
    assert steps(RolloutStrategy.CANARY, RolloutPolicy(steps_percent=given)) == plan


def test_a_first_version_is_not_compared_with_nothing() -> None:
    policy = RolloutPolicy()
    assert choose_strategy(RolloutStrategy.CANARY, policy, first=True) is RolloutStrategy.FULL
    assert choose_strategy(None, policy, first=False) is RolloutStrategy.CANARY
    assert choose_strategy(RolloutStrategy.FULL, policy, first=False) is RolloutStrategy.FULL
