"""Shares of traffic that a rollout goes through."""

from typing import Final

from modelyard_contracts import RolloutStrategy
from modelyard_contracts.policies import RolloutPolicy

ALL: Final = 100.0


def choose_strategy(asked: RolloutStrategy | None, policy: RolloutPolicy, *, first: bool) -> RolloutStrategy:
    """The requested strategy, else the policy's. The first version of a route has no version to compare with."""
    if first:
        return RolloutStrategy.FULL
    return asked or RolloutStrategy(policy.strategy)


def steps(strategy: RolloutStrategy, policy: RolloutPolicy) -> tuple[float, ...]:
    """Percentages, rising, ending with 100.

    Steps of the policy that do not rise or lie outside (0, 100] are skipped, so every policy gives a plan that ends.
    """
    if strategy is RolloutStrategy.FULL:
        return (ALL,)
    plan: list[float] = []
    for percent in policy.steps_percent:
        if (plan[-1] if plan else 0.0) < percent < ALL:
            plan.append(percent)
    return (*plan, ALL)
