"""From measured numbers to a verdict with reasons that carry the numbers: an ordered table of rules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from modelyard_contracts import Verdict
from modelyard_contracts.policies import LOWER_IS_BETTER, VALUE_METRICS, GatePolicy

METRIC_NAMES: Final = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R2",
}
LATENCY_FLOOR_MS: Final = 1.0
"""Lower latencies count as this: compared with a network hop they do not matter, and their ratio is mostly noise."""


@dataclass(frozen=True)
class Cost:
    """Cost of predicting one row."""

    latency_ms_p95: float
    memory_mib: float


@dataclass(frozen=True)
class Comparison:
    """Two versions on the same rows. Without a champion, a constant baseline of the training rows takes its place."""

    metric: str
    rows: int
    champion_name: str
    """`version 3`, `the majority class`, `the training mean` or `the training median`."""
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    p_value: float
    test: str
    wins: int = 0
    losses: int = 0
    champion_cost: Cost | None = None
    challenger_cost: Cost | None = None

    @property
    def gain(self) -> tuple[float, float, float]:
        """Low end, value and high end of the improvement; positive means the challenger is better."""
        if self.metric in LOWER_IS_BETTER:
            return -self.high, -self.difference, -self.low
        return self.low, self.difference, self.high


@dataclass(frozen=True)
class Judgement:
    """A verdict and its reasons, the decisive one first."""

    verdict: Verdict
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Compared:
    """The challenger against a version other than the champion, by the same rules."""

    version: int
    verdict: Verdict
    difference: float
    """Challenger minus the other version."""
    low: float
    high: float
    reason: str


@dataclass(frozen=True)
class Rule:
    """One line of the decision table."""

    applies: Callable[[Comparison, GatePolicy], bool]
    verdict: Verdict
    explain: Callable[[Comparison, GatePolicy], str]


def judge(comparison: Comparison, policy: GatePolicy) -> Judgement:
    """Return the verdict of the first rule that applies; the reasons always include the numbers."""
    rules = RULES_OF.get(policy.standard, RULES)
    rule = next(rule for rule in rules if rule.applies(comparison, policy))
    return Judgement(rule.verdict, (rule.explain(comparison, policy), *_numbers(comparison)))


def better(comparison: Comparison, policy: GatePolicy) -> bool:
    """Whether a challenger with these numbers would be deployed."""
    return judge(comparison, policy).verdict is Verdict.DEPLOY


def compared(version: int, comparison: Comparison, policy: GatePolicy) -> Compared:
    """Judge the challenger with `version` in the champion's place."""
    judgement = judge(comparison, policy)
    return Compared(
        version, judgement.verdict, comparison.difference, comparison.low, comparison.high, judgement.reasons[0]
    )


def overtaken(judgement: Judgement, version: int, comparison: Comparison, policy: GatePolicy) -> Judgement:
    """The challenger's judgement when an earlier version should serve again.

    comparison: the earlier version compared with the champion.
    """
    next_step = "It serves again." if policy.approval == "automatic" else "Approval is manual: roll it out to use it."
    reason = (
        f"Version {version}, which served before, is better than {comparison.champion_name} on these rows: "
        f"{_metric_name(comparison)} {comparison.challenger:.4f} against {comparison.champion:.4f}, "
        f"difference {comparison.difference:+.4f} [{comparison.low:+.4f}, {comparison.high:+.4f}]. {next_step}"
    )
    verdict = Verdict.REJECT if judgement.verdict is Verdict.DEPLOY else judgement.verdict
    return Judgement(verdict, (reason, *judgement.reasons))


def latency_ratio(comparison: Comparison) -> float | None:
    """Challenger's p95 latency over the champion's, both at least LATENCY_FLOOR_MS; None without both."""
    if comparison.champion_cost is None or comparison.challenger_cost is None:
        return None
    return max(comparison.challenger_cost.latency_ms_p95, LATENCY_FLOOR_MS) / max(
        comparison.champion_cost.latency_ms_p95, LATENCY_FLOOR_MS
    )


def tolerated(comparison: Comparison, policy: GatePolicy) -> float:
    """Loss that `not_worse` and `safe` accept: of a value, a share of the champion's error."""
    share = policy.not_worse_margin
    return share * abs(comparison.champion) if comparison.metric in VALUE_METRICS else share


TOO_FEW: Final = Rule(
    lambda found, policy: found.rows < policy.min_rows,
    Verdict.INCONCLUSIVE,
    lambda found, policy: f"{found.rows} rows are too few; the gate needs {policy.min_rows}.",
)
TOO_SLOW: Final = Rule(
    lambda found, policy: (latency_ratio(found) or 0.0) > policy.max_latency_ratio,
    Verdict.REJECT,
    lambda found, policy: (
        f"Its p95 latency for one row is {latency_ratio(found) or 0:.1f} times that of {found.champion_name}; "
        f"the limit is {policy.max_latency_ratio:g} times."
    ),
)
RULES: Final[tuple[Rule, ...]] = (
    TOO_FEW,
    Rule(
        lambda found, _: found.gain[2] < 0,
        Verdict.REJECT,
        lambda found, policy: (
            f"The challenger is worse than {found.champion_name}: at {policy.confidence:.0%} confidence "
            f"its {_metric_name(found)} is worse by at least {-found.gain[2]:.4f}."
        ),
    ),
    TOO_SLOW,
    Rule(
        lambda found, policy: found.gain[0] > policy.min_gain,
        Verdict.DEPLOY,
        lambda found, policy: (
            f"The challenger is better than {found.champion_name}: at {policy.confidence:.0%} confidence "
            f"its {_metric_name(found)} is better by at least {found.gain[0]:.4f}, more than the {policy.min_gain:g} "
            "required."
        ),
    ),
    Rule(
        lambda _, __: True,
        Verdict.CONTINUE_TUNING,
        lambda found, policy: (
            f"No gain above {policy.min_gain:g} over {found.champion_name} is shown: at {policy.confidence:.0%} "
            f"confidence the gain in {_metric_name(found)} lies between {found.gain[0]:+.4f} and {found.gain[2]:+.4f}."
        ),
    ),
)
"""First match wins; the last rule always applies."""

NOT_WORSE_RULES: Final[tuple[Rule, ...]] = (
    TOO_FEW,
    Rule(
        lambda found, policy: found.gain[2] < -tolerated(found, policy),
        Verdict.REJECT,
        lambda found, policy: (
            f"The challenger is worse than {found.champion_name}: at {policy.confidence:.0%} confidence its "
            f"{_metric_name(found)} is worse by at least {-found.gain[2]:.4f}, more than the margin of "
            f"{tolerated(found, policy):g}."
        ),
    ),
    TOO_SLOW,
    Rule(
        lambda found, policy: found.gain[0] > -tolerated(found, policy),
        Verdict.DEPLOY,
        lambda found, policy: (
            f"The challenger is not worse than {found.champion_name}: at {policy.confidence:.0%} confidence the gain "
            f"in {_metric_name(found)} is at least {found.gain[0]:+.4f}; a loss below {tolerated(found, policy):g} is "
            "accepted."
        ),
    ),
    Rule(
        lambda _, __: True,
        Verdict.CONTINUE_TUNING,
        lambda found, policy: (
            f"A loss of {tolerated(found, policy):g} or more against {found.champion_name} is not ruled out: at "
            f"{policy.confidence:.0%} confidence the gain in {_metric_name(found)} lies between {found.gain[0]:+.4f} "
            f"and {found.gain[2]:+.4f}."
        ),
    ),
)
"""For a challenger of a champion that is failing: non-inferiority (ICH E9, 3.3.2; Wellek 2010, Testing Statistical
Hypotheses of Equivalence and Noninferiority)."""

SAFE_RULES: Final[tuple[Rule, ...]] = (
    TOO_FEW,
    Rule(
        lambda found, policy: found.gain[2] < -tolerated(found, policy),
        Verdict.REJECT,
        lambda found, policy: (
            f"Too bad for the vote: at {policy.confidence:.0%} confidence its {_metric_name(found)} is worse than that "
            f"of {found.champion_name} by at least {-found.gain[2]:.4f}, more than the {tolerated(found, policy):g} "
            "that a member may be."
        ),
    ),
    TOO_SLOW,
    Rule(
        lambda _, __: True,
        Verdict.DEPLOY,
        lambda found, policy: (
            f"Safe to join the vote: its answers are usable, and its {_metric_name(found)} is not shown to be worse "
            f"than that of {found.champion_name} by more than {tolerated(found, policy):g}. Its weight follows the "
            "labels."
        ),
    ),
)
"""For members of a vote: the labels decide what they are worth."""

RULES_OF: Final[Mapping[str, tuple[Rule, ...]]] = {"not_worse": NOT_WORSE_RULES, "safe": SAFE_RULES}
"""Rules by the standard of the gate; RULES for any other."""


def _metric_name(comparison: Comparison) -> str:
    return METRIC_NAMES[comparison.metric]


def _numbers(comparison: Comparison) -> list[str]:
    found, name = comparison, _metric_name(comparison)
    reasons = [
        f"{name[0].upper()}{name[1:]} on {found.rows} rows: challenger {found.challenger:.4f}, "
        f"{found.champion_name} {found.champion:.4f}, difference {found.difference:+.4f} "
        f"[{found.low:+.4f}, {found.high:+.4f}], p = {found.p_value:.2g} ({found.test}).",
        f"The challenger is closer on {found.wins} rows, {found.champion_name} on {found.losses}."
        if found.metric == "log_loss" or found.metric in VALUE_METRICS
        else f"Only the challenger is right on {found.wins} rows, only {found.champion_name} on {found.losses}.",
    ]
    return reasons if found.challenger_cost is None else [*reasons, _cost(found, found.challenger_cost)]


def _cost(comparison: Comparison, challenger: Cost) -> str:
    champion = comparison.champion_cost
    against = (
        f", {comparison.champion_name} {champion.latency_ms_p95:.2f} ms and {champion.memory_mib:.0f} MiB"
        if champion
        else ""
    )
    return (
        f"One row takes the challenger {challenger.latency_ms_p95:.2f} ms (p95) in "
        f"{challenger.memory_mib:.0f} MiB{against}."
    )
