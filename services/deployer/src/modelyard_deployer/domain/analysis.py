"""Compare the new version with the stable one: advance, hold or abort, with the numbers and a reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.sequences import (
    Difference,
    MeanPair,
    Pair,
    lower_bound,
    mean_difference,
    rate_difference,
)

HARD_LIMIT_ROWS: Final = 50
"""Predictions of the new version before the absolute error-rate limit applies."""
MIN_ARM_ROWS: Final = 50
"""Rows in each arm below which the asymptotic bound is not trusted."""
GUARDRAILS: Final = 2
"""Error rate and quality split alpha, even without labels: a data-dependent split would invalidate the bound."""


@dataclass(frozen=True)
class Arm:
    """Counts of one version since the step started."""

    answers: int = 0
    errors: int = 0
    labelled: int = 0
    wrong: int = 0
    """Labelled predictions of the wrong class."""
    values: int = 0
    """Labelled predictions of a regression model."""
    mean_error: float = 0.0
    """Mean absolute error over `values`, in the unit of the target."""
    error_sd: float = 0.0
    """Sample standard deviation of the absolute error."""


@dataclass(frozen=True)
class Stratum:
    """Both versions during one step."""

    new: Arm = Arm()
    old: Arm = Arm()


class Outcome(StrEnum):
    ADVANCE = "advance"
    HOLD = "hold"
    ABORT = "abort"


@dataclass(frozen=True)
class Analysis:
    outcome: Outcome
    reason: str
    evidence: dict[str, float]


def analyse(policy: RolloutPolicy, past: Sequence[Stratum], now: Stratum | None, step_age_s: float) -> Analysis:
    """Analyse the counts at one check; any number of checks keeps the error probability within alpha.

    past: counts of the finished steps. now: counts of this step; None when the monitor is unavailable, which holds the
    step, because missing evidence is not a pass. step_age_s: seconds since this step started.
    """
    if now is None:
        return Analysis(Outcome.HOLD, "no evidence: the monitor is unavailable", {})
    strata = (*past, now)
    evidence = _counts(strata, now, step_age_s)
    if reason := _hard_limit(policy, strata, now):
        return Analysis(Outcome.ABORT, reason, evidence)
    hold_reasons: list[str] = []
    for guardrail in (_error_rate(strata, policy), _quality(strata, policy)):
        verdict = _judge(guardrail, policy.alpha / GUARDRAILS, evidence)
        if verdict and verdict.outcome is Outcome.ABORT:
            return verdict
        if verdict:
            hold_reasons.append(verdict.reason)
    waiting = hold_reasons or _waiting(policy, now.new, step_age_s)
    if waiting:
        return Analysis(Outcome.HOLD, "; ".join(waiting), evidence)
    return Analysis(Outcome.ADVANCE, f"{now.new.answers} predictions at this step, no guardrail violated", evidence)


@dataclass(frozen=True)
class _Guardrail:
    """A quantity that must not be worse than the stable version's by more than `margin`."""

    name: str
    description: str
    rows: int
    """Rows of the smaller arm."""
    difference: Difference | None
    margin: float


def _error_rate(strata: Sequence[Stratum], policy: RolloutPolicy) -> _Guardrail:
    pairs = [Pair(s.new.answers, s.new.errors, s.old.answers, s.old.errors) for s in strata]
    rows = _rows([(pair.new_rows, pair.old_rows) for pair in pairs])
    return _Guardrail("error_rate", "error rate", rows, rate_difference(pairs), policy.error_rate_margin)


def _accuracy(strata: Sequence[Stratum], policy: RolloutPolicy) -> _Guardrail:
    pairs = [Pair(s.new.labelled, s.new.wrong, s.old.labelled, s.old.wrong) for s in strata]
    rows = _rows([(pair.new_rows, pair.old_rows) for pair in pairs])
    return _Guardrail("wrong_rate", "share of wrong predictions", rows, rate_difference(pairs), policy.accuracy_margin)


def _mean_error(strata: Sequence[Stratum], policy: RolloutPolicy) -> _Guardrail:
    """The margin is a share of the stable version's mean absolute error."""
    pairs = [
        MeanPair(s.new.values, s.new.mean_error, s.new.error_sd, s.old.values, s.old.mean_error, s.old.error_sd)
        for s in strata
    ]
    rows = _rows([(pair.new_rows, pair.old_rows) for pair in pairs])
    old_rows = sum(pair.old_rows for pair in pairs)
    old_mean = sum(pair.old_rows * pair.old_mean for pair in pairs) / old_rows if old_rows else 0.0
    margin = policy.error_margin * old_mean
    return _Guardrail("mean_absolute_error", "mean absolute error", rows, mean_difference(pairs), margin)


def _quality(strata: Sequence[Stratum], policy: RolloutPolicy) -> _Guardrail:
    """Guardrail on labelled predictions: mean absolute error for a regression model, else share of wrong classes."""
    regression = any(s.new.values or s.old.values for s in strata)
    return _mean_error(strata, policy) if regression else _accuracy(strata, policy)


def _rows(arms: Sequence[tuple[int, int]]) -> int:
    return min(sum(new for new, _ in arms), sum(old for _, old in arms))


def _judge(guardrail: _Guardrail, alpha: float, evidence: dict[str, float]) -> Analysis | None:
    """None: no objection. HOLD: worse, but possibly by chance. ABORT: worse with the required confidence."""
    difference = guardrail.difference
    if difference is None or guardrail.rows < MIN_ARM_ROWS:
        return None
    low = lower_bound(difference, alpha)
    evidence |= {f"{guardrail.name}_difference": difference.value, f"{guardrail.name}_difference_low": low}
    if low > guardrail.margin:
        reason = (
            f"the {guardrail.description} is {difference.value:+.4f} against the stable version, lower bound {low:.4f} "
            f"over all checks (confidence {1 - alpha:.3f}); the margin is {guardrail.margin:.4f}"
        )
        return Analysis(Outcome.ABORT, reason, evidence)
    if difference.value > guardrail.margin:
        reason = f"the {guardrail.description} is {difference.value:+.4f} worse, which is not yet significant"
        return Analysis(Outcome.HOLD, reason, evidence)
    return None


def _hard_limit(policy: RolloutPolicy, strata: Sequence[Stratum], now: Stratum) -> str | None:
    """Check the absolute error-rate limit of this step; errors that the stable version has as well are not blamed.

    Worse than the stable version is judged by the bound of the error-rate guardrail, so both together stay within its
    share of alpha. With too few rows of the stable version the limit stands alone.
    """
    limit, new = policy.max_error_rate, now.new
    if new.answers < HARD_LIMIT_ROWS or new.errors <= limit * new.answers:
        return None
    guardrail = _error_rate(strata, policy)
    compared = guardrail.difference is not None and now.old.answers >= MIN_ARM_ROWS
    if compared and guardrail.difference and lower_bound(guardrail.difference, policy.alpha / GUARDRAILS) <= 0:
        return None
    against = f"; the stable version has {now.old.errors} in {now.old.answers}" if compared else ""
    return f"{new.errors} errors in {new.answers} predictions, above the limit of {limit:.1%}{against}"


def _waiting(policy: RolloutPolicy, arm: Arm, step_age_s: float) -> list[str]:
    waiting = []
    if arm.answers < policy.min_samples:
        waiting.append(f"{arm.answers} of {policy.min_samples} predictions at this step")
    if step_age_s < policy.min_step_s:
        waiting.append(f"{step_age_s:.1f} of {policy.min_step_s:.1f} s at this step")
    return waiting


def _counts(strata: Sequence[Stratum], now: Stratum, step_age_s: float) -> dict[str, float]:
    return {
        "step_answers": float(now.new.answers),
        "step_age_s": step_age_s,
        "new_answers": float(sum(s.new.answers for s in strata)),
        "new_errors": float(sum(s.new.errors for s in strata)),
        "old_answers": float(sum(s.old.answers for s in strata)),
        "old_errors": float(sum(s.old.errors for s in strata)),
        "new_labelled": float(sum(s.new.labelled for s in strata)),
        "new_wrong": float(sum(s.new.wrong for s in strata)),
        "old_labelled": float(sum(s.old.labelled for s in strata)),
        "old_wrong": float(sum(s.old.wrong for s in strata)),
    }
