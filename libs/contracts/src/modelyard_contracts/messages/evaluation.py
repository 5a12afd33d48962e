"""Requests to the evaluator and its results."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from modelyard_contracts.messages.base import ControlMessage, Part
from modelyard_contracts.numbers import Amount, Count, Finite, Share, VersionNumber


class EvaluationRequested(ControlMessage):
    """Compare a version with the champion, or with another version."""

    TOPIC: ClassVar[str] = "evaluation.run.requested.v1"

    challenger_version: VersionNumber
    champion_version: VersionNumber | None = None
    """None takes the version that holds the alias `champion`."""
    requested_by: str
    reason: str = ""


class Verdict(StrEnum):
    """Outcome of an evaluation; missing evidence is never a pass."""

    DEPLOY = "deploy"
    REJECT = "reject"
    CONTINUE_TUNING = "continue_tuning"
    INCONCLUSIVE = "inconclusive"


class ComparedVersion(Part):
    """The challenger on the same rows as another version that is approved but does not serve."""

    version: VersionNumber
    verdict: Verdict
    """By the gate's rules, with the other version in the champion's place: `deploy` means the challenger is better."""
    difference: Finite
    """Challenger minus the other version."""
    difference_low: Finite
    difference_high: Finite


class EvaluationFinished(ControlMessage):
    """Champion and challenger on the same pinned rows: the verdict, with its numbers."""

    TOPIC: ClassVar[str] = "evaluation.run.finished.v1"

    evaluation_id: UUID
    challenger_version: VersionNumber
    challenger_digest: str
    champion_version: VersionNumber | None = None
    champion_digest: str | None = None
    verdict: Verdict
    reasons: tuple[str, ...]
    metric: str = "accuracy"
    rows: Count = 0
    dataset_digest: str | None = None
    champion_value: Finite | None = None
    challenger_value: Finite | None = None
    difference: Finite | None = None
    """Challenger minus champion."""
    difference_low: Finite | None = None
    difference_high: Finite | None = None
    """Ends of the confidence interval of the difference."""
    p_value: Share | None = None
    test: str = ""
    champion_latency_ms_p95: Amount | None = None
    challenger_latency_ms_p95: Amount | None = None
    champion_memory_mib: Amount | None = None
    challenger_memory_mib: Amount | None = None
    challenger_latency_ms_p50: Amount | None = None
    """Of the trial of a version that was made elsewhere."""
    answers_equal: bool | None = None
    """Whether such a version answered its example as recorded; None if no answers were recorded."""
    others: tuple[ComparedVersion, ...] = ()
    """Approved versions that do not serve, such as the one in a canary; only for the verdict `deploy`."""
