"""The evaluation: one comparison of a challenger with the champion."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from modelyard_contracts import Verdict
from modelyard_contracts.policies import GatePolicy, Metric
from modelyard_contracts.signature import Task
from modelyard_evaluator.domain.trial import Trial

REGISTRY: Final = "registry"
"""Requester of the evaluations of new versions."""
EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every row: rows that the challenger has learned from count as well."""


class RowSource(StrEnum):
    """Origin of the rows that the versions are compared on."""

    LABELS = "labels"
    """Labelled predictions."""
    DATASET = "dataset"
    """Held-out rows of the challenger's training dataset."""


class Stage(StrEnum):
    """Progress of an evaluation. Every stage can be repeated after a crash."""

    PENDING = "pending"
    """Stored; the registry has not been queried yet."""
    TRIAL = "trial"
    """Both versions are known; a challenger that was made elsewhere answers its example first."""
    WAITING = "waiting"
    """Both versions are known; waiting for labelled rows."""
    SCORING = "scoring"
    """The moment that fixes the rows is stored; the versions are scored and compared."""
    FINISHED = "finished"


@dataclass(frozen=True)
class Side:
    """One of the two versions compared."""

    version: int
    digest: str


@dataclass(frozen=True)
class OpenAlarm:
    """A performance alarm of the champion that is open."""

    subject: str
    """`error_rate` or `mean_absolute_error`."""
    since: datetime
    """Moment of its first event."""
    change_point: datetime | None = None
    """Prediction time of the first row after the rise; None if the labelled rows show no single one."""


@dataclass(frozen=True)
class Evaluation:
    """One comparison. Its id is derived from the request, so a repeated request is the same evaluation."""

    id: UUID
    model: str
    challenger_version: int
    cause_id: UUID | None
    correlation_id: UUID
    requested_by: str
    created_at: datetime
    changed_at: datetime
    reason: str = ""
    asked_champion: int | None = None
    """Version to compare with, as requested; None: the version under the alias `champion`."""
    stage: Stage = Stage.PENDING
    challenger: Side | None = None
    learner: str | None = None
    """Online learner that the challenger is a snapshot of; None for a version of a training run."""
    champion: Side | None = None
    """None: the model has no champion, and the challenger is compared with a constant baseline."""
    task: Task | None = None
    """Task of both versions."""
    policy: GatePolicy = field(default_factory=GatePolicy)
    """As it is applied: its standard is never `auto`."""
    alarm: OpenAlarm | None = None
    """Performance alarm of the champion, as the monitor reported it when the versions were resolved."""
    alarms_unknown: str = ""
    """Why the monitor reported none; '' if it answered."""
    metric: Metric | None = None
    """Metric that decides: the policy's, or the default of the task."""
    source: RowSource = RowSource.LABELS
    since: datetime | None = None
    """Rows predicted after this moment were seen by neither version in training, and are from after the change if
    `from_change`."""
    from_change: bool = False
    """Whether the rows begin at the change point of the alarm."""
    as_of: datetime | None = None
    """Labels received by this moment count; set once, so that a repeat pins the same rows."""
    looks: int = 0
    """Looks at the rows that have not decided. Above 0 the comparison is open: `waiting` for further labels."""
    opened_at: datetime | None = None
    """Moment of the first of them, also with an earlier champion."""
    live_share_at: datetime | None = None
    """When the live share was requested, once per evaluation; None before, and if the gate policy gives none."""
    live: bool = False
    """Whether the challenger held its live share when the labelled rows were last counted."""
    counted_rows: int = 0
    """Labelled rows at the begin of the last look."""
    current: dict[str, Any] | None = None
    """The last look at an open comparison: `comparison`, `reasons`, `window` and `looked_at`."""
    dataset_digest: str | None = None
    """The pinned rows in the registry."""
    unusable_rows: int = 0
    """Labelled rows that were left out (modelyard_contracts.usable)."""
    note: str = ""
    """Reason for waiting, or the last error."""
    attempts: int = 0
    """Failed attempts at this stage."""
    next_at: datetime | None = None
    """Earliest moment of the next attempt."""
    return_to: int | None = None
    """An earlier version that should serve again."""
    trial: Trial | None = None
    """Result of the stage `trial`; None before it, and for a version of a training run."""
    verdict: Verdict | None = None
    report: dict[str, Any] | None = None
    writes: int = 0
    """Revision of the row, for compare and swap."""

    @property
    def champion_name(self) -> str:
        """The opponent of the challenger, for sentences."""
        if self.champion:
            return f"version {self.champion.version}"
        if self.task is Task.REGRESSION:
            return "the training median" if self.metric == "mae" else "the training mean"
        return "the majority class"

    @property
    def live_share_percent(self) -> float | None:
        """Share of the traffic that the challenger answers while its comparison is open; None without one."""
        return self.policy.live_share_percent if self.live and not self.done else None

    @property
    def done(self) -> bool:
        return self.stage is Stage.FINISHED
