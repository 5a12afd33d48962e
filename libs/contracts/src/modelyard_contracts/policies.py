"""Policies of a model: versioned documents in the registry, read by the service that decides by them."""

from typing import Annotated, Final, Literal

from pydantic import Field

from modelyard_contracts.messages.base import Part, Severity

CENTURY_S: Final = 36_525 * 86_400
MAX_ROWS: Final = 1_000_000_000
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=CENTURY_S)]
"""Bounded, so that it can be added to any moment."""


class GatePolicy(Part):
    """What a version needs before it may serve."""

    approval: Literal["automatic", "manual"] = "automatic"
    """`manual`: a person approves after the evaluator said deploy."""
    metric: Literal["accuracy", "balanced_accuracy", "log_loss"] = "accuracy"
    min_rows: int = Field(default=100, ge=30, le=MAX_ROWS)
    """Labelled rows below which the verdict is inconclusive."""
    recent_rows: int = Field(default=2_000, ge=100, le=MAX_ROWS)
    """At most this many of the newest labelled rows are pinned."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    min_gain: Finite = 0.0
    """The challenger must be better by more than this, with the confidence above."""
    max_latency_ratio: Finite = Field(default=5.0, gt=0)
    """Challenger's p95 over champion's; above it the verdict is reject."""
    earlier_versions: int = Field(default=3, ge=0, le=50)
    """So many of the newest approved versions that serve no more compete, too: worlds come back. 0: none."""


class RetrainPolicy(Part):
    """Which drift becomes a training run."""

    enabled: bool = True
    recipe: str = "tabular-classifier"
    kinds: tuple[Literal["feature", "score", "performance"], ...] = ("performance", "score")
    min_severity: Severity = Severity.WARNING
    cool_down_s: Seconds = 300.0
    max_runs_per_day: int = Field(default=24, ge=0, le=86_400)
    window_rows: int = Field(default=4_000, ge=200, le=MAX_ROWS)
    """Newest labelled rows to learn from."""
    holdout_rows: int = Field(default=500, ge=50, le=MAX_ROWS)
    """The newest of them, kept from fitting and choosing so that the evaluator can judge."""
    parameters: dict[str, str] = Field(default_factory=dict)


class RolloutPolicy(Part):
    """How an approved version gets its traffic."""

    route: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    """None: the model's own name."""
    strategy: Literal["full", "canary"] = "canary"
    steps_percent: tuple[Finite, ...] = (5.0, 20.0, 50.0, 100.0)
    min_samples: int = Field(default=100, ge=0, le=MAX_ROWS)
    """Answers of the new version at a step before it may advance."""
    min_step_s: Seconds = 2.0
    max_hold_s: float = Field(default=600.0, gt=0, le=CENTURY_S)
    on_hold_expired: Literal["abort", "promote"] = "abort"
    max_error_rate: float = Field(default=0.10, gt=0, le=1)
    """Hard limit: at once, from 50 answers on."""
    error_rate_margin: Finite = Field(default=0.01, ge=0)
    accuracy_margin: Finite = Field(default=0.05, ge=0)
    """Worse than the stable version by more than this, beyond doubt: abort."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    keep_warm_s: Seconds = 3600.0
    """How long the version before stays ready for a roll-back."""
    timeout_ms: int = Field(default=2_000, gt=0, le=3_600_000)


POLICIES: Final[dict[str, type[Part]]] = {"gate": GatePolicy, "retrain": RetrainPolicy, "rollout": RolloutPolicy}
