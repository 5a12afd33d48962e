"""Policies that come with the platform. Their waits are given in rows, so that they fit streams of any pace."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from modelyard_cli.backtest.policies import Policies
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.policies import AdaptivePolicy, GatePolicy, RetrainPolicy, RolloutPolicy

NewPolicies = Callable[[float], Policies]
"""Mean seconds of the data between two rows -> policies."""
COOL_DOWN_ROWS: Final = 500
LEARNERS_COOL_DOWN_ROWS: Final = 2_000
GROWTH: Final = 2.0
MEMBERS: Final = 9
LEARNING_RATE: Final = 0.05
"""With nine members; chosen on the first third of Elec2."""


def canary(row_s: float) -> Policies:
    """One version answers; a retraining follows each drift and takes its place by canary if it is better."""
    return Policies(
        "canary",
        GatePolicy(),
        RetrainPolicy(cool_down_s=COOL_DOWN_ROWS * row_s),
        RolloutPolicy(strategy="canary", min_step_s=row_s, max_hold_s=2_000 * row_s),
    )


def adaptive(row_s: float) -> Policies:
    """Up to five versions vote; a retraining follows each drift, and when a short history has doubled."""
    return Policies(
        "adaptive",
        GatePolicy(),
        RetrainPolicy(cool_down_s=COOL_DOWN_ROWS * row_s, growth=GROWTH),
        RolloutPolicy(strategy="adaptive"),
    )


def learners(row_s: float) -> Policies:
    """Up to nine versions vote, among them two online learners, which save trainings: at most one per 2,000 rows."""
    return Policies(
        "learners",
        GatePolicy(),
        RetrainPolicy(cool_down_s=LEARNERS_COOL_DOWN_ROWS * row_s, growth=GROWTH, online=("forest", "linear")),
        RolloutPolicy(strategy="adaptive", adaptive=AdaptivePolicy(members=MEMBERS, learning_rate=LEARNING_RATE)),
    )


def learners_on_schedule(row_s: float) -> Policies:
    """The same, with a retraining every 2,000 rows and for no other reason."""
    retrain = RetrainPolicy(kinds=(), cool_down_s=0, every_rows=LEARNERS_COOL_DOWN_ROWS, online=("forest", "linear"))
    return Policies("learners-on-schedule", GatePolicy(), retrain, learners(row_s).rollout)


NAMED: Final[dict[str, NewPolicies]] = {
    "canary": canary,
    "adaptive": adaptive,
    "learners": learners,
    "learners-on-schedule": learners_on_schedule,
}
USUAL: Final = "learners-on-schedule"
"""Of a backtest without a policy: the best one on most of the known streams (decision 0110)."""


def policies_of(text: str) -> tuple[str, NewPolicies]:
    """Name and policies of a name of NAMED, or of a YAML file. StackError if it is neither, or names the field."""
    if text in NAMED:
        return text, NAMED[text]
    path = Path(text)
    if not path.exists():
        raise StackError(f"policy {text}: no such file, and none of {', '.join(NAMED)}")
    policies = Policies.read(path)
    return policies.name, lambda _: policies
