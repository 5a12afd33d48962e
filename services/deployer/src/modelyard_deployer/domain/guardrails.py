"""Guardrails of a canary: quantities that must not be worse than the stable version's. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from modelyard_contracts.policies import RolloutPolicy
from modelyard_deployer.domain.counts import Stratum
from modelyard_deployer.domain.sequences import (
    Difference,
    MeanPair,
    Pair,
    lower_bound,
    mean_difference,
    rate_difference,
)

MIN_ARM_ROWS: Final = 50
"""Rows in each arm below which the asymptotic bound is not trusted."""
GUARDRAILS: Final = 2
"""Error rate and quality split alpha, even without labels: a data-dependent split would invalidate the bound."""
DESCRIPTIONS: Final[Mapping[str, str]] = {
    "error_rate": "error rate",
    "wrong_rate": "share of wrong predictions",
    "mean_absolute_error": "mean absolute error",
}


class Verdict(StrEnum):
    """What a guardrail shows."""

    PASSED = "passed"
    WORSE = "worse"
    """Worse by more than the margin, but possibly by chance: the step holds."""
    HARMFUL = "harmful"
    """Worse by more than the margin with the required confidence: the rollout aborts."""
    TOO_FEW_ROWS = "too_few_rows"


@dataclass(frozen=True)
class Guardrail:
    """A quantity that must not be worse than the stable version's by more than `margin`."""

    name: str
    rows: int
    """Rows of the smaller arm."""
    new: float | None
    """Value of the new version over all steps; None without rows."""
    old: float | None
    difference: Difference | None
    margin: float


def error_rate(strata: Sequence[Stratum], policy: RolloutPolicy) -> Guardrail:
    pairs = [Pair(s.new.answers, s.new.errors, s.old.answers, s.old.errors) for s in strata]
    rows = _rows([(pair.new_rows, pair.old_rows) for pair in pairs])
    margin = policy.error_rate_margin
    return Guardrail("error_rate", rows, *_rates(pairs), rate_difference(pairs), margin)


def _accuracy(strata: Sequence[Stratum], policy: RolloutPolicy) -> Guardrail:
    pairs = [Pair(s.new.labelled, s.new.wrong, s.old.labelled, s.old.wrong) for s in strata]
    rows = _rows([(pair.new_rows, pair.old_rows) for pair in pairs])
    return Guardrail("wrong_rate", rows, *_rates(pairs), rate_difference(pairs), policy.accuracy_margin)


def _mean_error(strata: Sequence[Stratum], policy: RolloutPolicy) -> Guardrail:
    """The margin is a share of the stable version's mean absolute error."""
    pairs = [
        MeanPair(s.new.values, s.new.mean_error, s.new.error_sd, s.old.values, s.old.mean_error, s.old.error_sd)
        for s in strata
    ]
    rows = _rows([(pair.new_rows, pair.old_rows) for pair in pairs])
    new, old = _means(pairs)
    margin = policy.error_margin * (old or 0.0)
    return Guardrail("mean_absolute_error", rows, new, old, mean_difference(pairs), margin)


def quality(strata: Sequence[Stratum], policy: RolloutPolicy) -> Guardrail:
    """Guardrail on labelled predictions: mean absolute error for a regression model, else share of wrong classes."""
    regression = any(s.new.values or s.old.values for s in strata)
    return _mean_error(strata, policy) if regression else _accuracy(strata, policy)


def _rows(arms: Sequence[tuple[int, int]]) -> int:
    return min(sum(new for new, _ in arms), sum(old for _, old in arms))


def _rates(pairs: Sequence[Pair]) -> tuple[float | None, float | None]:
    """Shares of the new and the old version over all steps."""
    new, old = sum(pair.new_rows for pair in pairs), sum(pair.old_rows for pair in pairs)
    return (
        sum(pair.new_events for pair in pairs) / new if new else None,
        sum(pair.old_events for pair in pairs) / old if old else None,
    )


def _means(pairs: Sequence[MeanPair]) -> tuple[float | None, float | None]:
    """Means of the new and the old version over all steps."""
    new, old = sum(pair.new_rows for pair in pairs), sum(pair.old_rows for pair in pairs)
    return (
        sum(pair.new_rows * pair.new_mean for pair in pairs) / new if new else None,
        sum(pair.old_rows * pair.old_mean for pair in pairs) / old if old else None,
    )


@dataclass(frozen=True)
class Reading:
    """A guardrail at one check; difference is new minus old, its interval holds over all checks."""

    name: str
    rows: int
    margin: float
    new: float | None = None
    old: float | None = None
    difference: float = 0.0
    low: float | None = None
    """None with too few rows."""

    @property
    def description(self) -> str:
        return DESCRIPTIONS.get(self.name, self.name)

    @property
    def high(self) -> float | None:
        """The interval is symmetric."""
        return None if self.low is None else 2 * self.difference - self.low

    @property
    def verdict(self) -> Verdict:
        if self.low is None:
            return Verdict.TOO_FEW_ROWS
        if self.low > self.margin:
            return Verdict.HARMFUL
        return Verdict.WORSE if self.difference > self.margin else Verdict.PASSED


def measure(guardrail: Guardrail, alpha: float) -> Reading:
    """Return the guardrail's values; without a difference when there are too few rows to trust it."""
    found = Reading(guardrail.name, guardrail.rows, guardrail.margin, guardrail.new, guardrail.old)
    difference = guardrail.difference
    if difference is None or guardrail.rows < MIN_ARM_ROWS:
        return found
    low = lower_bound(difference, alpha)
    return Reading(found.name, found.rows, found.margin, found.new, found.old, difference.value, low)


def written(reading: Reading) -> dict[str, float]:
    """Return a reading as evidence of a rollout."""
    values = {"new": reading.new, "old": reading.old, "difference_low": reading.low, "margin": reading.margin}
    known = {f"{reading.name}_{name}": value for name, value in values.items() if value is not None}
    compared = {} if reading.low is None else {f"{reading.name}_difference": reading.difference}
    return {f"{reading.name}_rows": float(reading.rows), **known, **compared}


def readings(evidence: Mapping[str, float]) -> tuple[Reading, ...]:
    """Return the readings in the evidence of a rollout; evidence of earlier releases has none."""
    return tuple(_read(name, evidence) for name in DESCRIPTIONS if f"{name}_margin" in evidence)


def _read(name: str, evidence: Mapping[str, float]) -> Reading:
    return Reading(
        name,
        int(evidence.get(f"{name}_rows", 0)),
        evidence[f"{name}_margin"],
        evidence.get(f"{name}_new"),
        evidence.get(f"{name}_old"),
        evidence.get(f"{name}_difference", 0.0),
        evidence.get(f"{name}_difference_low"),
    )
