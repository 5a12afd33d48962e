"""Traffic steps of a rollout."""

from typing import Final

from modelyard_contracts import RolloutStrategy
from modelyard_contracts.policies import RolloutPolicy

ALL: Final = 100.0


def choose_strategy(requested: RolloutStrategy | None, policy: RolloutPolicy, *, first: bool) -> RolloutStrategy:
    """Return the requested strategy, else the policy's; `full` for a first version, which has no baseline.

    `canary` under an adaptive policy: the version cannot vote, see `joins_vote`.
    """
    if first:
        return RolloutStrategy.FULL
    return requested or (RolloutStrategy.FULL if policy.strategy == "full" else RolloutStrategy.CANARY)


def steps(strategy: RolloutStrategy, policy: RolloutPolicy) -> tuple[float, ...]:
    """Return increasing percentages that end with 100.

    Policy steps that do not increase or lie outside (0, 100] are skipped, so every policy gives a finite plan.
    """
    if strategy is RolloutStrategy.FULL:
        return (ALL,)
    plan: list[float] = []
    for percent in policy.steps_percent:
        if (plan[-1] if plan else 0.0) < percent < ALL:
            plan.append(percent)
    return (*plan, ALL)
