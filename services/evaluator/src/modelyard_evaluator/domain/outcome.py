"""The end of an evaluation: its report, and the events that publish it."""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from modelyard_contracts import ComparedVersion, EvaluationFinished, RolloutAction, RolloutRequested, derived_id
from modelyard_contracts.numbers import finite_or_none
from modelyard_evaluator.domain.evaluation import Evaluation, Stage
from modelyard_evaluator.domain.standards import explained
from modelyard_evaluator.domain.trial import figures
from modelyard_evaluator.domain.verdict import Comparison, Judgement


def conclude(
    evaluation: Evaluation,
    at: datetime,
    judgement: Judgement,
    comparison: Comparison | None = None,
    details: dict[str, Any] | None = None,
) -> Evaluation:
    """Return the evaluation with its verdict and report.

    details: `by_class`, `metrics` and `disagreements` of both versions, and `others`.
    """
    report = {
        "verdict": judgement.verdict,
        "reasons": _reasons(evaluation, judgement),
        "trial": asdict(evaluation.trial) if evaluation.trial else None,
        "comparison": asdict(comparison) if comparison else None,
        "by_class": {},
        "metrics": {},
        "others": [],
        "disagreements": [],
        **(details or {}),
        "policy": evaluation.policy.model_dump(mode="json"),
        "standard": _standard(evaluation),
    }
    finished = replace(evaluation, stage=Stage.FINISHED, verdict=judgement.verdict, report=report)
    return replace(finished, note="", current=None, changed_at=at)


def _reasons(evaluation: Evaluation, judgement: Judgement) -> list[str]:
    """The reasons, and the figures of a trial unless these are reasons already."""
    found = figures(evaluation.trial) if evaluation.trial else ()
    return [*judgement.reasons, *(sentence for sentence in found if sentence not in judgement.reasons)]


def _standard(evaluation: Evaluation) -> dict[str, Any]:
    """Standard of the gate that was applied, and why."""
    alarm = evaluation.alarm
    return {
        "name": evaluation.policy.standard,
        "reason": " ".join(explained(evaluation)),
        "margin": evaluation.policy.not_worse_margin,
        "alarm_since": alarm.since.isoformat() if alarm else None,
        "change_point": alarm.change_point.isoformat() if alarm and alarm.change_point else None,
    }


def finished_event(evaluation: Evaluation) -> EvaluationFinished | None:
    """The event that publishes the verdict; None if the challenger was never found."""
    if evaluation.challenger is None or evaluation.report is None or evaluation.verdict is None:
        return None
    comparison = evaluation.report["comparison"] or {}
    costs = {side: comparison.get(f"{side}_cost") or {} for side in ("champion", "challenger")}
    trial = evaluation.trial
    tried = {"latency_ms_p95": trial.p95_ms, "memory_mib": trial.memory_mib} if trial else {}
    costs["challenger"] = costs["challenger"] or tried
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
        metric=evaluation.metric or "",
        rows=comparison.get("rows", 0),
        dataset_digest=evaluation.dataset_digest,
        champion_value=finite_or_none(comparison.get("champion")),
        challenger_value=finite_or_none(comparison.get("challenger")),
        difference=finite_or_none(comparison.get("difference")),
        difference_low=finite_or_none(comparison.get("low")),
        difference_high=finite_or_none(comparison.get("high")),
        p_value=finite_or_none(comparison.get("p_value")),
        test=comparison.get("test", ""),
        champion_latency_ms_p95=finite_or_none(costs["champion"].get("latency_ms_p95")),
        challenger_latency_ms_p95=finite_or_none(costs["challenger"].get("latency_ms_p95")),
        champion_memory_mib=finite_or_none(costs["champion"].get("memory_mib")),
        challenger_memory_mib=finite_or_none(costs["challenger"].get("memory_mib")),
        challenger_latency_ms_p50=finite_or_none(trial.p50_ms) if trial else None,
        answers_equal=trial.answers_equal if trial else None,
        others=tuple(_other(found) for found in evaluation.report.get("others", ()) if _is_finite(found)),
    )


def _is_finite(found: dict[str, Any]) -> bool:
    """Whether the difference is known; an event has no place for one that is not."""
    return all(finite_or_none(found[name]) is not None for name in ("difference", "low", "high"))


def _other(found: dict[str, Any]) -> ComparedVersion:
    return ComparedVersion(
        version=found["version"],
        verdict=found["verdict"],
        difference=found["difference"],
        difference_low=found["low"],
        difference_high=found["high"],
    )


def rollout_request(evaluation: Evaluation) -> RolloutRequested | None:
    """Request to roll out the earlier version that won; None without one, or if a person has to approve."""
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
