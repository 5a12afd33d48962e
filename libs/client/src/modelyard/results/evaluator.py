"""Results of the evaluator."""

from datetime import datetime
from typing import Any

from pydantic import Field

from modelyard.results.base import Result
from modelyard_contracts import Verdict


class CostResult(Result):
    """Cost of predicting one row."""

    latency_ms_p95: float
    memory_mib: float


class ComparisonResult(Result):
    """Both versions on the same rows; difference is challenger minus champion."""

    metric: str
    rows: int
    champion_name: str = ""
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    p_value: float
    test: str = ""
    wins: int = 0
    losses: int = 0
    champion_cost: CostResult | None = None
    challenger_cost: CostResult | None = None


class ClassResult(Result):
    """Rows of one class, and how many each version got right."""

    rows: int
    champion_right: int
    challenger_right: int


class OtherResult(Result):
    """The challenger against an approved version that does not serve."""

    version: int
    verdict: Verdict | None = None
    difference: float
    low: float
    high: float
    reason: str = ""


class StandardResult(Result):
    """Standard of the gate that was applied, and why."""

    name: str
    reason: str = ""
    margin: float | None = None
    alarm_since: datetime | None = None
    change_point: datetime | None = None


class WindowResult(Result):
    """The rows of a comparison. begins_at: `training` (rows new to both versions) or `change_point`."""

    rows: int
    begins_at: str = ""
    first_at: datetime | None = None
    last_at: datetime | None = None


class CurrentResult(Result):
    """The last look at an open comparison."""

    comparison: ComparisonResult
    reasons: tuple[str, ...] = ()
    window: WindowResult | None = None
    looked_at: datetime | None = None


class TrialResult(Result):
    """Trial of a version that was made elsewhere, on its example in a confined process."""

    outcome: str
    """`answered`, `failed`, `over_limit` or `not_run`."""
    reason: str = ""
    rows: int = 0
    load_s: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    memory_mib: float | None = None
    answers_equal: bool | None = None
    first_difference: str = ""
    confined_by: tuple[str, ...] = ()


class ReportResult(Result):
    """The result of a finished evaluation."""

    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    """Sentences that explain the verdict."""
    comparison: ComparisonResult | None = None
    """None for a model without a champion."""
    by_class: dict[str, ClassResult] = Field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict)
    """All metrics of the task, by side: `champion` and `challenger`."""
    others: tuple[OtherResult, ...] = ()
    """Approved versions that may serve before the challenger does."""
    policy: dict[str, Any] = Field(default_factory=dict)
    """The gate policy as it was applied."""
    standard: StandardResult | None = None
    window: WindowResult | None = None
    trial: TrialResult | None = None
    """None for a version of a training run."""


class EvaluatedVersion(Result):
    """A version and the digest of its manifest."""

    version: int
    digest: str


class EvaluationRun(Result):
    """An evaluation; `verdict` and `report` are None until it has ended."""

    evaluation_id: str
    model: str
    challenger_version: int
    challenger_digest: str | None = None
    champion: EvaluatedVersion | None = None
    """None before it is known, and for a model without a champion."""
    task: str | None = None
    metric: str | None = None
    verdict: Verdict | None = None
    stage: str = ""
    note: str = ""
    """Reason for waiting, or the last error."""
    reason: str = ""
    requested_by: str = ""
    attempts: int = 0
    rows_from: str | None = None
    rows_after: datetime | None = None
    """Rows predicted after this moment are new to both versions."""
    labels_as_of: datetime | None = None
    """Labels received by this moment count."""
    unusable_rows: int = 0
    looks: int = 0
    """Looks at the labelled rows that have not decided."""
    open_until: datetime | None = None
    """Moment of the last look at an open comparison."""
    live_share_percent: float | None = None
    """Share of the traffic that the challenger answers while its comparison is open; None without a live share."""
    current: CurrentResult | None = None
    """The last look at an open comparison, with its interval."""
    dataset_digest: str | None = None
    """The pinned rows in the registry."""
    correlation_id: str = ""
    report: ReportResult | None = None
    created_at: datetime | None = None
    changed_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether the comparison has not decided yet and waits for further labels, possibly for hours."""
        return self.verdict is None and self.looks > 0 and self.stage == "waiting"

    @property
    def progress(self) -> str:
        """`open` while further labels are awaited, such as `open, 5 % live` with a live share; otherwise the stage."""
        if not self.open:
            return self.stage
        return "open" if self.live_share_percent is None else f"open, {self.live_share_percent:g} % live"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Sentences that explain the verdict."""
        return self.report.reasons if self.report else ()


class Disagreement(Result):
    """A row on which only one version is right."""

    only: str
    """`challenger_right` or `champion_right`."""
    row: dict[str, float | str | None] = Field(default_factory=dict)
    """Features, time and id; long texts are cut off."""
    label: str
    champion: str
    challenger: str
    """The class that each version answers."""


class LoopWay(Result):
    """One way to work in a report: the platform with a policy, or what a team would do without it."""

    name: str
    title: str
    is_platform: bool = False
    overall: float
    parts: tuple[float, ...] = ()
    """The metric by eighth of the stream."""
    trainings: int | None = None
    cost_usd: float | None = None
    alarms: int | None = None
    rollbacks: int | None = None
    seconds_below_frozen: float | None = None
    documents: dict[str, Any] | None = None
    """The policies by kind, as production would have them; None in lists, and where the report does not state them."""
    curve: tuple[tuple[int, float], ...] = ()
    """(row, rolling metric), in order; empty in lists."""


class LoopMark(Result):
    """What happened at a row of the stream."""

    row: int
    what: str


class LoopReport(Result):
    """The platform beside what a team would do without it, on one stream."""

    kind: str
    """`demo` or `backtest`."""
    name: str
    metric: str
    lower_is_better: bool = False
    rows: int
    row_interval_s: float | None = None
    """Mean time between two rows; None where the rows had no times, or where it is unknown."""
    note: str = ""
    ways: tuple[LoopWay, ...]
    marks: tuple[LoopMark, ...] = ()


class PublishedReport(Result):
    """A report as it was published."""

    report_id: str
    model: str
    created_at: datetime
    created_by: str = ""
    report: LoopReport
