"""Compare the new version with the stable one: advance, hold or abort, with the numbers and a reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.sequences import Pair, lower_bound, rate_difference

HARD_LIMIT_ROWS: Final = 50
"""Answers of the new version before the absolute limit of the error rate applies."""
MIN_ARM_ROWS: Final = 50
"""Rows in each arm below which the asymptotic bound is not trusted."""
GUARDRAILS: Final = 2
"""Error rate and accuracy share alpha, whether or not labels arrive: choosing by the data would void the bound."""


@dataclass(frozen=True)
class Arm:
    """Counts of one version since the step started."""

    answers: int = 0
    errors: int = 0
    labelled: int = 0
    wrong: int = 0


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
    """Analyse the counts once; safe to repeat as often as needed.

    past: counts of the finished steps. now: counts of this step, None when the monitor does not answer, which holds:
    no evidence is not a pass. step_age_s: seconds since this step started.
    """
    if now is None:
        return Analysis(Outcome.HOLD, "no evidence: the monitor does not answer", {})
    strata = (*past, now)
    evidence = _counts(strata, now, step_age_s)
    if reason := _hard_limit(policy, now.new):
        return Analysis(Outcome.ABORT, reason, evidence)
    suspicions: list[str] = []
    for guardrail in (_error_rate(strata, policy), _accuracy(strata, policy)):
        verdict = _judge(guardrail, policy.alpha / GUARDRAILS, evidence)
        if verdict and verdict.outcome is Outcome.ABORT:
            return verdict
        if verdict:
            suspicions.append(verdict.reason)
    waiting = suspicions or _waiting(policy, now.new, step_age_s)
    if waiting:
        return Analysis(Outcome.HOLD, "; ".join(waiting), evidence)
    return Analysis(Outcome.ADVANCE, f"{now.new.answers} answers at this step, no guardrail broken", evidence)


@dataclass(frozen=True)
class _Guardrail:
    name: str
    description: str
    pairs: tuple[Pair, ...]
    margin: float


def _error_rate(strata: Sequence[Stratum], policy: RolloutPolicy) -> _Guardrail:
    pairs = tuple(Pair(s.new.answers, s.new.errors, s.old.answers, s.old.errors) for s in strata)
    return _Guardrail("error_rate", "error rate", pairs, policy.error_rate_margin)


def _accuracy(strata: Sequence[Stratum], policy: RolloutPolicy) -> _Guardrail:
    pairs = tuple(Pair(s.new.labelled, s.new.wrong, s.old.labelled, s.old.wrong) for s in strata)
    return _Guardrail("wrong_rate", "share of wrong answers", pairs, policy.accuracy_margin)


def _judge(guardrail: _Guardrail, alpha: float, evidence: dict[str, float]) -> Analysis | None:
    """None: no objection. HOLD: worse, but possibly by chance. ABORT: worse with the required confidence."""
    rows = min(sum(p.new_rows for p in guardrail.pairs), sum(p.old_rows for p in guardrail.pairs))
    difference = rate_difference(guardrail.pairs)
    if difference is None or rows < MIN_ARM_ROWS:
        return None
    low = lower_bound(difference, alpha)
    evidence |= {f"{guardrail.name}_difference": difference.value, f"{guardrail.name}_difference_low": low}
    if low > guardrail.margin:
        reason = (
            f"the {guardrail.description} is {difference.value:+.4f} against the stable version, by at least {low:.4f} "
            f"at any number of checks (confidence {1 - alpha:.3f}); allowed are {guardrail.margin:.4f}"
        )
        return Analysis(Outcome.ABORT, reason, evidence)
    if difference.value > guardrail.margin:
        reason = f"the {guardrail.description} looks {difference.value:+.4f} worse, which may still be chance"
        return Analysis(Outcome.HOLD, reason, evidence)
    return None


def _hard_limit(policy: RolloutPolicy, arm: Arm) -> str | None:
    if arm.answers < HARD_LIMIT_ROWS or arm.errors <= policy.max_error_rate * arm.answers:
        return None
    return f"{arm.errors} errors in {arm.answers} answers, above the limit of {policy.max_error_rate:.1%}"


def _waiting(policy: RolloutPolicy, arm: Arm, step_age_s: float) -> list[str]:
    waiting = []
    if arm.answers < policy.min_samples:
        waiting.append(f"{arm.answers} of {policy.min_samples} answers at this step")
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
