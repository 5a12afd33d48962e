"""Open and earlier runs of a model, in the time that policies count in."""

from dataclasses import replace
from datetime import datetime

from modelyard_contracts.policies import RetrainPolicy
from modelyard_trainer.domain.policy import BUDGET_WINDOW, Facts, Refusal, should_publish
from modelyard_trainer.domain.ports import Session
from modelyard_trainer.usecases.deps import Deps


def facts_of(deps: Deps, session: Session, model: str, now: datetime) -> Facts:
    """Facts about the runs of a model, in policy time."""
    found = session.facts(model, now, deps.policy_time.reach(now, BUDGET_WINDOW))
    ended = found.last_ended_at
    return found if ended is None else replace(found, last_ended_at=deps.policy_time(ended))


def is_news(deps: Deps, session: Session, model: str, refusal: Refusal, policy: RetrainPolicy, now: datetime) -> bool:
    """Return whether to publish a refusal: once per cool-down and rule, in policy time."""
    last = session.last_refusal(model, refusal.code)
    last = None if last is None else deps.policy_time(last)
    return should_publish(refusal, last, policy, deps.policy_time(now))
