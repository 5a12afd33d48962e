"""Request and response models of the HTTP API."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from modelyard_contracts import Verdict
from modelyard_contracts.references import REFERENCE_PATTERN
from modelyard_contracts.signature import Task
from modelyard_evaluator.domain.evaluation import Evaluation, RowSource, Stage
from modelyard_evaluator.domain.looks import deadline
from modelyard_evaluator.domain.trial import TrialOutcome

MAX_VERSION = 2**31 - 1


class EvaluationRequest(BaseModel):
    """Compare a version with the champion, or with another version."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(pattern=REFERENCE_PATTERN, max_length=192)
    """Reference of the model: `name` or `workspace:name`."""
    challenger_version: int = Field(ge=1, le=MAX_VERSION)
    champion_version: int | None = Field(None, ge=1, le=MAX_VERSION)
    """None: the version under the alias `champion`."""
    reason: str = Field("", max_length=2_000)
    correlation_id: UUID | None = None
    idempotency_key: str | None = Field(None, max_length=200)
    """Requests with the same key and versions return the same evaluation."""


class VersionInfo(BaseModel):
    """A version and the digest of its manifest."""

    version: int
    digest: str


class CostInfo(BaseModel):
    """Cost of predicting one row."""

    latency_ms_p95: float
    memory_mib: float


class ComparisonInfo(BaseModel):
    """Both versions on the same rows; difference is challenger minus champion."""

    metric: str
    rows: int
    champion_name: str
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    wins: int
    losses: int
    champion_cost: CostInfo | None
    challenger_cost: CostInfo | None


class ClassInfo(BaseModel):
    """Rows of one class, and how many each version got right."""

    rows: int
    champion_right: int
    challenger_right: int


class OtherInfo(BaseModel):
    """The challenger against an approved version that does not serve, by the gate's rules."""

    version: int
    verdict: Verdict
    """`deploy`: the challenger is better."""
    difference: float
    low: float
    high: float
    reason: str


class StandardInfo(BaseModel):
    """Standard of the gate that was applied: `better`, `not_worse` or `safe`."""

    name: str
    reason: str
    """Why, if it is not the usual one."""
    margin: float
    """Loss that `not_worse` and `safe` accept."""
    alarm_since: datetime | None
    """Begin of the open performance alarm of the champion."""
    change_point: datetime | None
    """Prediction time at which the champion's errors rose."""


class WindowInfo(BaseModel):
    """The rows of a comparison. begins_at: `training` (rows new to both versions) or `change_point`."""

    rows: int
    begins_at: str
    first_at: datetime | None
    """Prediction time of the oldest row."""
    last_at: datetime | None


class TrialInfo(BaseModel):
    """Trial of a version that was made elsewhere, on its example in a confined process."""

    outcome: TrialOutcome
    reason: str
    """Empty if it answered."""
    rows: int
    load_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    """Latency of single rows."""
    memory_mib: float | None
    """Peak resident memory of the process."""
    answers_equal: bool | None
    """Whether the answers equal the recorded ones; None if none were recorded."""
    first_difference: str
    confined_by: list[str]


class ReportInfo(BaseModel):
    """The result of a finished evaluation. metrics: all metrics of the task, by side. policy: as it was applied."""

    verdict: Verdict
    reasons: list[str]
    comparison: ComparisonInfo | None
    by_class: dict[str, ClassInfo]
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict)
    others: list[OtherInfo] = Field(default_factory=list)
    """Approved versions that may serve before the challenger does, such as the one in a canary."""
    policy: dict[str, Any]
    standard: StandardInfo | None = None
    window: WindowInfo | None = None
    trial: TrialInfo | None = None
    """None for a version of a training run."""


class CurrentInfo(BaseModel):
    """The last look at a comparison that is open. Each end of its interval holds with the confidence over all looks."""

    comparison: ComparisonInfo
    reasons: list[str]
    window: WindowInfo
    looked_at: datetime


class EvaluationInfo(BaseModel):
    """An evaluation, with its report once it is finished."""

    evaluation_id: UUID
    model: str
    stage: Stage
    verdict: Verdict | None
    challenger_version: int
    challenger_digest: str | None
    champion: VersionInfo | None
    """None before it is known, and for a model without a champion."""
    task: Task | None
    metric: str | None
    note: str
    """Reason for waiting, or the last error."""
    attempts: int
    reason: str
    requested_by: str
    rows_from: RowSource
    rows_after: datetime | None
    """Rows predicted after this moment are new to both versions."""
    labels_as_of: datetime | None
    """Labels received by this moment count."""
    unusable_rows: int
    looks: int
    """Looks at the rows that have not decided; above 0 while `waiting`: the comparison is open."""
    open_until: datetime | None
    """Moment of the last look at an open comparison."""
    live_share_percent: float | None
    """Share of the traffic that the challenger answers while its comparison is open; null without a live share."""
    current: CurrentInfo | None
    """The last look at an open comparison."""
    dataset_digest: str | None
    """The pinned rows in the registry."""
    report: ReportInfo | None
    correlation_id: UUID
    created_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, evaluation: Evaluation) -> Self:
        """The evaluation as answers show it."""
        challenger, champion = evaluation.challenger, evaluation.champion
        return cls(
            evaluation_id=evaluation.id,
            model=evaluation.model,
            stage=evaluation.stage,
            verdict=evaluation.verdict,
            challenger_version=evaluation.challenger_version,
            challenger_digest=challenger.digest if challenger else None,
            champion=VersionInfo(version=champion.version, digest=champion.digest) if champion else None,
            task=evaluation.task,
            metric=evaluation.metric,
            note=evaluation.note,
            attempts=evaluation.attempts,
            reason=evaluation.reason,
            requested_by=evaluation.requested_by,
            rows_from=evaluation.source,
            rows_after=evaluation.since,
            labels_as_of=evaluation.as_of,
            unusable_rows=evaluation.unusable_rows,
            looks=evaluation.looks,
            open_until=None if evaluation.done else deadline(evaluation),
            live_share_percent=evaluation.live_share_percent,
            current=CurrentInfo.model_validate(evaluation.current) if evaluation.current else None,
            dataset_digest=evaluation.dataset_digest,
            report=ReportInfo.model_validate(evaluation.report) if evaluation.report else None,
            correlation_id=evaluation.correlation_id,
            created_at=evaluation.created_at,
            changed_at=evaluation.changed_at,
        )


class RightSide(StrEnum):
    """Which of the two versions is right alone."""

    CHALLENGER = "challenger_right"
    CHAMPION = "champion_right"


class DisagreementInfo(BaseModel):
    """A row on which only one version is right. row: its features, time and id; long texts are cut off."""

    only: RightSide
    row: dict[str, float | str | None]
    label: str
    champion: str
    challenger: str
    """The class that each version answers."""


class DisagreementList(BaseModel):
    """A sample of these rows, newest first on each side."""

    evaluation_id: UUID
    challenger_version: int
    champion_version: int | None
    items: list[DisagreementInfo]

    @classmethod
    def of(cls, evaluation: Evaluation, only: RightSide | None, limit: int) -> Self:
        kept = (evaluation.report or {}).get("disagreements", [])
        items = [DisagreementInfo(only=RightSide(f"{one['right']}_right"), **one) for one in kept]
        return cls(
            evaluation_id=evaluation.id,
            challenger_version=evaluation.challenger_version,
            champion_version=evaluation.champion.version if evaluation.champion else None,
            items=[one for one in items if only in (None, one.only)][:limit],
        )


class EvaluationList(BaseModel):
    """Evaluations, newest first."""

    items: list[EvaluationInfo]
