"""Compare the new version with the stable one: advance, hold or abort, with the numbers and a reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.counts import Stratum
from modelyard_deployer.domain.guardrails import (
    GUARDRAILS,
    MIN_ARM_ROWS,
    Guardrail,
    Reading,
    Verdict,
    error_rate,
    measure,
    quality,
    written,
)
from modelyard_deployer.domain.sequences import lower_bound

STEP: Final = "step"
"""Key of the evidence: the step that the counts are of."""
STEP_ANSWERS: Final = "step_answers"
HARD_LIMIT_ROWS: Final = 50
"""Predictions of the new version before the absolute error-rate limit applies."""


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
    measured = [
        measure(one, policy.alpha / GUARDRAILS) for one in (error_rate(strata, policy), quality(strata, policy))
    ]
    for reading in measured:
        evidence |= written(reading)
    if harmful := [one for one in measured if one.verdict is Verdict.HARMFUL]:
        return Analysis(Outcome.ABORT, _harm(harmful[0], policy), evidence)
    worse = [_worse(one) for one in measured if one.verdict is Verdict.WORSE]
    waiting = worse or _waiting(policy, now.new.answers, step_age_s)
    if waiting:
        return Analysis(Outcome.HOLD, "; ".join(waiting), evidence)
    return Analysis(Outcome.ADVANCE, f"{now.new.answers} predictions at this step, no guardrail violated", evidence)


def _harm(found: Reading, policy: RolloutPolicy) -> str:
    return (
        f"the {found.description} is {found.difference:+.4f} against the stable version, lower bound {found.low:.4f} "
        f"over all checks (confidence {1 - policy.alpha / GUARDRAILS:.3f}); the margin is {found.margin:.4f}"
    )


def _worse(found: Reading) -> str:
    return f"the {found.description} is {found.difference:+.4f} worse, which is not yet significant"


def _hard_limit(policy: RolloutPolicy, strata: Sequence[Stratum], now: Stratum) -> str | None:
    """Check the absolute error-rate limit of this step; errors that the stable version has as well are not blamed.

    Worse than the stable version is judged by the bound of the error-rate guardrail, so both together stay within its
    share of alpha. With too few rows of the stable version the limit stands alone.
    """
    limit, new = policy.max_error_rate, now.new
    if new.answers < HARD_LIMIT_ROWS or new.errors <= limit * new.answers:
        return None
    guardrail: Guardrail = error_rate(strata, policy)
    compared = guardrail.difference is not None and now.old.answers >= MIN_ARM_ROWS
    if compared and guardrail.difference and lower_bound(guardrail.difference, policy.alpha / GUARDRAILS) <= 0:
        return None
    against = f"; the stable version has {now.old.errors} in {now.old.answers}" if compared else ""
    return f"{new.errors} errors in {new.answers} predictions, above the limit of {limit:.1%}{against}"


@dataclass(frozen=True)
class Remaining:
    """What a step lacks before it may end."""

    predictions: int
    seconds: float


def remaining(policy: RolloutPolicy, answers: int, step_age_s: float) -> Remaining:
    """Return the predictions and the seconds that a step still needs; 0 where it has enough."""
    return Remaining(max(policy.min_samples - answers, 0), max(policy.min_step_s - step_age_s, 0.0))


def _waiting(policy: RolloutPolicy, answers: int, step_age_s: float) -> list[str]:
    left = remaining(policy, answers, step_age_s)
    waiting: list[str] = []
    if left.predictions:
        waiting.append(f"{answers} of {policy.min_samples} predictions at this step")
    if left.seconds:
        waiting.append(f"{step_age_s:.1f} of {policy.min_step_s:.1f} s at this step")
    return waiting


def _counts(strata: Sequence[Stratum], now: Stratum, step_age_s: float) -> dict[str, float]:
    return {
        STEP_ANSWERS: float(now.new.answers),
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
