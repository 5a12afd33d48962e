"""Start and stop online learners as a model's retraining policy says."""

from typing import Final, Literal

from modelyard_trainer.domain.learners import Learner
from modelyard_trainer.domain.ports import Learners, Registry

KINDS: Final[tuple[Literal["forest", "linear"], ...]] = ("forest", "linear")


def follow_policy(registry: Registry, learners: Learners, model: str) -> None:
    """Store the learners that the policy names, and mark those that it no longer names. Safe to repeat."""
    policy = registry.retrain_policy(model)
    if policy is None:
        return
    known = {learner.kind for learner in learners.of(model)}
    for kind in KINDS:
        if kind in policy.online or kind in known:
            learners.change(Learner.new(model, kind), lambda learner: learner.following(policy))
