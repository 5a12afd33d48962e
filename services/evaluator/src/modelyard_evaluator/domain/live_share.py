"""A live share for a challenger whose comparison is undecided: when it is requested, and the verdict at its end."""

from dataclasses import replace
from datetime import datetime

from modelyard_contracts import RolloutAction, RolloutRequested, Verdict, derived_id
from modelyard_evaluator.domain.evaluation import REGISTRY, Evaluation
from modelyard_evaluator.domain.verdict import Comparison, Judgement, judge, tolerated


def with_live_share(evaluation: Evaluation, comparison: Comparison, now: datetime) -> Evaluation:
    """Record the request for a live share after an undecided look; unchanged if there is none to request.

    It is requested once per evaluation of a new version, and not while the estimated loss exceeds `not_worse_margin`:
    such a share would cost callers more than the gate accepts.
    """
    policy = evaluation.policy
    wanted = policy.inconclusive == "live_share" and evaluation.requested_by == REGISTRY
    if not wanted or evaluation.live_share_at is not None or comparison.gain[1] <= -tolerated(comparison, policy):
        return evaluation
    return replace(evaluation, live_share_at=now)


def share_request(before: Evaluation, after: Evaluation) -> RolloutRequested | None:
    """The event that requests the live share; None unless this change of the evaluation recorded the request."""
    if after.live_share_at is None or before.live_share_at is not None:
        return None
    return RolloutRequested(
        event_id=derived_id("evaluation-live-share", after.id),
        occurred_at=after.live_share_at,
        correlation_id=after.correlation_id,
        cause_id=after.cause_id,
        model=after.model,
        action=RolloutAction.START,
        version=after.challenger_version,
        requested_by="evaluator",
        reason=f"its comparison with {after.champion_name} is undecided; it gets a live share until that ends",
        evaluation_id=after.id,
    )


def at_the_last_look(evaluation: Evaluation, comparison: Comparison) -> Judgement:
    """Decide about a challenger that held its live share to the end: deploy if a loss of the margin is ruled out.

    The guardrails have found no harm by then. A confidence sequence holds whatever the standard, so the question may
    change from a gain to a loss (decision 0097).
    """
    found = judge(comparison, evaluation.policy.model_copy(update={"standard": "not_worse"}))
    verdict = found.verdict if found.verdict is Verdict.DEPLOY else Verdict.REJECT
    share = f"It answered {evaluation.policy.live_share_percent:g} % of the traffic meanwhile, without harm."
    return Judgement(verdict, (share, *found.reasons))
