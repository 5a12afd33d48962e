"""The report of an evaluation, for the database and for the topic."""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from modelyard_contracts import EvaluationFinished, RolloutAction, RolloutRequested, derived_id
from modelyard_evaluator.domain.model import Evaluation, Stage
from modelyard_evaluator.domain.verdict import Comparison, Judgement


def finish(
    evaluation: Evaluation,
    at: datetime,
    judgement: Judgement,
    found: Comparison | None = None,
    by_class: dict[str, Any] | None = None,
) -> Evaluation:
    """The evaluation with its verdict and its report."""
    report = {
        "verdict": judgement.verdict,
        "reasons": list(judgement.reasons),
        "comparison": asdict(found) if found else None,
        "by_class": by_class or {},
        "policy": evaluation.policy.model_dump(mode="json"),
    }
    return replace(evaluation, stage=Stage.FINISHED, verdict=judgement.verdict, report=report, note="", changed_at=at)


def finished_event(evaluation: Evaluation) -> EvaluationFinished | None:
    """What the others are told of a finished evaluation; None of one whose challenger was never found."""
    if evaluation.challenger is None or evaluation.report is None or evaluation.verdict is None:
        return None
    found = evaluation.report["comparison"] or {}
    costs = {side: found.get(f"{side}_cost") or {} for side in ("champion", "challenger")}
    return EvaluationFinished(
        event_id=derived_id("evaluation-finished", evaluation.id),
        occurred_at=evaluation.changed_at,
        correlation_id=evaluation.correlation_id,
        cause_id=evaluation.cause_id,
        model=evaluation.model,
        evaluation_id=evaluation.id,
        challenger_version=evaluation.challenger.version,
        challenger_digest=evaluation.challenger.digest,
        champion_version=evaluation.champion.version if evaluation.champion else None,
        champion_digest=evaluation.champion.digest if evaluation.champion else None,
        verdict=evaluation.verdict,
        reasons=tuple(evaluation.report["reasons"]),
        metric=evaluation.policy.metric or "accuracy",
        rows=found.get("rows", 0),
        dataset_digest=evaluation.dataset_digest,
        champion_value=found.get("champion"),
        challenger_value=found.get("challenger"),
        difference=found.get("difference"),
        difference_low=found.get("low"),
        difference_high=found.get("high"),
        p_value=found.get("p_value"),
        test=found.get("test", ""),
        champion_latency_ms_p95=costs["champion"].get("latency_ms_p95"),
        challenger_latency_ms_p95=costs["challenger"].get("latency_ms_p95"),
        champion_memory_mib=costs["champion"].get("memory_mib"),
        challenger_memory_mib=costs["challenger"].get("memory_mib"),
    )


def return_event(evaluation: Evaluation) -> RolloutRequested | None:
    """The wish that an earlier version serve again; None without one, and where a person has to approve."""
    if evaluation.return_to is None or evaluation.policy.approval != "automatic":
        return None
    return RolloutRequested(
        event_id=derived_id("evaluation-return", evaluation.id),
        occurred_at=evaluation.changed_at,
        correlation_id=evaluation.correlation_id,
        cause_id=derived_id("evaluation-finished", evaluation.id),
        model=evaluation.model,
        action=RolloutAction.START,
        version=evaluation.return_to,
        requested_by="evaluator",
        reason=(evaluation.report or {"reasons": [""]})["reasons"][0],
    )
