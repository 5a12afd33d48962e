"""Policies of a model: versioned documents in the registry, read by the service that applies them."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from modelyard_contracts.documents import Document
from modelyard_contracts.messages.base import Severity
from modelyard_contracts.numbers import Finite, TimeoutMs
from modelyard_contracts.signature import Task

CENTURY_S: Final = 36_525 * 86_400
MAX_ROWS: Final = 1_000_000_000
Seconds = Annotated[float, Field(ge=0, le=CENTURY_S, allow_inf_nan=False)]
"""Bounded, so that it can be added to any moment."""


Metric = Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "mae", "rmse", "r2"]
CLASS_METRICS: Final[tuple[Metric, ...]] = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
VALUE_METRICS: Final[tuple[Metric, ...]] = ("mae", "rmse", "r2")
LOWER_IS_BETTER: Final = frozenset({"log_loss", "mae", "rmse"})


class GatePolicy(Document):
    """Conditions that a version must meet before it may serve."""

    DOCUMENT: ClassVar[str] = "gate policy"

    approval: Literal["automatic", "manual"] = "automatic"
    """`manual`: a person approves after the evaluator said deploy."""
    four_eyes: bool = True
    """A version is approved by another person than the one who registered it."""
    metric: Metric | None = None
    """None takes the metric that chose the version, else accuracy for classes, mean absolute error for values."""
    min_rows: int = Field(default=100, ge=30, le=MAX_ROWS)
    """Labelled rows below which the verdict is inconclusive."""
    recent_rows: int = Field(default=2_000, ge=100, le=MAX_ROWS)
    """At most this many of the newest labelled rows are pinned."""
    confidence: Finite = Field(default=0.95, gt=0.5, lt=1)
    min_gain: Finite = 0.0
    """The challenger must be better by more than this, with the confidence above."""
    max_latency_ratio: Finite = Field(default=5.0, gt=0)
    """Challenger's p95 over champion's; above it the verdict is reject."""
    earlier_versions: int = Field(default=3, ge=0, le=50)
    """Number of the newest approved versions that no longer serve and compete again: earlier concepts return."""

    def metric_for(self, task: Task, chosen_by: str | None = None) -> Metric:
        """Metric of a task; ValueError when the policy names one that the task does not have.

        chosen_by: metric that chose the version in training; used if the policy names none and it fits the task.
        """
        fitting: tuple[Metric, ...] = CLASS_METRICS if task.classifies else VALUE_METRICS
        metric = self.metric or next((one for one in fitting if one == chosen_by), fitting[0])
        if metric not in fitting:
            raise ValueError(f"gate policy: metric {metric} does not fit the task {task}; use {', '.join(fitting)}")
        return metric


class RetrainPolicy(Document):
    """Drift that becomes a training run, and the data of that run."""

    DOCUMENT: ClassVar[str] = "retrain policy"

    enabled: bool = True
    recipe: str | None = None
    """None takes the recipe that made the serving version."""
    kinds: tuple[Literal["feature", "score", "classes", "performance"], ...] = ("performance", "score")
    min_severity: Severity = Severity.WARNING
    cool_down_s: Seconds = 300.0
    max_runs_per_day: int = Field(default=24, ge=0, le=86_400)
    window_rows: int = Field(default=4_000, ge=200, le=MAX_ROWS)
    """Newest labelled rows to learn from."""
    holdout_rows: int = Field(default=500, ge=50, le=MAX_ROWS)
    """The newest of them, kept from fitting and choosing so that the evaluator can judge."""
    parameters: dict[str, str] = Field(default_factory=dict)


class RolloutPolicy(Document):
    """Steps, guardrails and limits of a rollout."""

    DOCUMENT: ClassVar[str] = "rollout policy"

    route: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    """None: the model's own name."""
    strategy: Literal["full", "canary"] = "canary"
    steps_percent: tuple[Finite, ...] = (5.0, 20.0, 50.0, 100.0)
    min_samples: int = Field(default=100, ge=0, le=MAX_ROWS)
    """Answers of the new version at a step before it may advance."""
    min_step_s: Seconds = 2.0
    max_hold_s: Seconds = Field(default=600.0, gt=0)
    on_hold_expired: Literal["abort", "promote"] = "abort"
    supersede: Literal["newer_better", "wait"] = "newer_better"
    """`newer_better`: a newer approved version that the evaluator found better takes the place of the one being rolled
    out. `wait`: it waits until that rollout has ended."""
    max_error_rate: Finite = Field(default=0.10, gt=0, le=1)
    """Hard limit: aborts at once, from 50 answers on."""
    error_rate_margin: Finite = Field(default=0.01, ge=0)
    accuracy_margin: Finite = Field(default=0.05, ge=0)
    """Abort when the accuracy is lower than the stable version's by more than this, with confidence 1 - alpha."""
    error_margin: Finite = Field(default=0.05, ge=0)
    """For regressions: abort when the mean absolute error is higher by more than this share, as confidently."""
    alpha: Finite = Field(default=0.05, gt=0, lt=0.5)
    keep_warm_s: Seconds = 3600.0
    """How long the replaced version stays ready for a roll-back."""
    timeout_ms: TimeoutMs = 2_000


POLICIES: Final[dict[str, type[Document]]] = {"gate": GatePolicy, "retrain": RetrainPolicy, "rollout": RolloutPolicy}
