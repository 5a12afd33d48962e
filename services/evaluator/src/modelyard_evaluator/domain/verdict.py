"""From measured numbers to a verdict, with reasons that carry the numbers. A table, read from the top."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from modelyard_contracts import Verdict
from modelyard_contracts.policies import GatePolicy

LATENCY_FLOOR_MS: Final = 1.0
"""Latencies below it count as it: beside a network hop nobody notices them, and their ratio is mostly noise."""


@dataclass(frozen=True)
class Cost:
    """What one row costs."""

    latency_ms_p95: float
    memory_mib: float


@dataclass(frozen=True)
class Comparison:
    """Both on the same rows. Without a champion the baseline is the training rows' commonest class."""

    metric: str
    rows: int
    champion_name: str
    """`version 3`, or `the majority class`."""
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
        """Low end, value and high end of how much better the challenger is, whichever way the metric points."""
        if self.metric == "log_loss":
            return -self.high, -self.difference, -self.low
        return self.low, self.difference, self.high


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    reasons: tuple[str, ...]


Rule = tuple[Callable[[Comparison, GatePolicy], bool], Verdict, Callable[[Comparison, GatePolicy], str]]


def judge(found: Comparison, policy: GatePolicy) -> Judgement:
    """The first rule that applies gives the verdict; the numbers are said whatever it is."""
    for applies, verdict, say in RULES:
        if applies(found, policy):
            said = [say(found, policy), *_numbers(found, policy)]
            return Judgement(verdict, tuple(said))
    raise AssertionError("the last rule applies to everything")


def too_few_rows(rows: int, policy: GatePolicy, waited_s: float) -> Judgement:
    """No evidence is its own verdict, never a pass."""
    said = (
        f"Only {rows} labelled rows are newer than what the challenger learned from; the gate needs {policy.min_rows}, "
        f"and {waited_s:.0f} s of waiting brought no more."
    )
    return Judgement(Verdict.INCONCLUSIVE, (said,))


def better(found: Comparison, policy: GatePolicy) -> bool:
    """Whether the rule that deploys a challenger would deploy this one."""
    return judge(found, policy).verdict is Verdict.DEPLOY


def overtaken(own: Judgement, version: int, found: Comparison, policy: GatePolicy) -> Judgement:
    """The challenger's verdict where an earlier version shall serve again; `found` is that one against the champion."""
    again = "It serves again." if policy.approval == "automatic" else "Approval is manual: roll it out if you agree."
    said = (
        f"Version {version}, which served before, is better than {found.champion_name} on these rows: "
        f"{_words(found)} {found.challenger:.4f} against {found.champion:.4f}, difference {found.difference:+.4f} "
        f"[{found.low:+.4f}, {found.high:+.4f}]. {again}"
    )
    verdict = Verdict.REJECT if own.verdict is Verdict.DEPLOY else own.verdict
    return Judgement(verdict, (said, *own.reasons))


def latency_ratio(found: Comparison) -> float | None:
    if found.champion_cost is None or found.challenger_cost is None:
        return None
    return max(found.challenger_cost.latency_ms_p95, LATENCY_FLOOR_MS) / max(
        found.champion_cost.latency_ms_p95, LATENCY_FLOOR_MS
    )


def _too_slow(found: Comparison, policy: GatePolicy) -> bool:
    return (latency_ratio(found) or 0.0) > policy.max_latency_ratio


RULES: Final[tuple[Rule, ...]] = (
    (
        lambda found, policy: found.rows < policy.min_rows,
        Verdict.INCONCLUSIVE,
        lambda found, policy: f"{found.rows} rows are too few; the gate needs {policy.min_rows}.",
    ),
    (
        lambda found, _: found.gain[2] < 0,
        Verdict.REJECT,
        lambda found, policy: (
            f"The challenger is worse than {found.champion_name} beyond doubt: at {policy.confidence:.0%} confidence "
            f"its {_words(found)} is worse by at least {-found.gain[2]:.4f}."
        ),
    ),
    (
        _too_slow,
        Verdict.REJECT,
        lambda found, policy: (
            f"Its p95 latency for one row is {latency_ratio(found) or 0:.1f} times that of {found.champion_name}; "
            f"allowed are {policy.max_latency_ratio:g} times."
        ),
    ),
    (
        lambda found, policy: found.gain[0] > policy.min_gain,
        Verdict.DEPLOY,
        lambda found, policy: (
            f"The challenger is better than {found.champion_name}: at {policy.confidence:.0%} confidence "
            f"its {_words(found)} is better by at least {found.gain[0]:.4f}, above the {policy.min_gain:g} needed."
        ),
    ),
    (
        lambda _, __: True,
        Verdict.CONTINUE_TUNING,
        lambda found, policy: (
            f"No gain above {policy.min_gain:g} over {found.champion_name} is shown: at {policy.confidence:.0%} "
            f"confidence the gain in {_words(found)} lies between {found.gain[0]:+.4f} and {found.gain[2]:+.4f}."
        ),
    ),
)
"""First match wins; the last one always matches."""


def _words(found: Comparison) -> str:
    return found.metric.replace("_", " ")


def _numbers(found: Comparison, policy: GatePolicy) -> list[str]:
    said = [
        f"{_words(found).capitalize()} on {found.rows} rows: challenger {found.challenger:.4f}, "
        f"{found.champion_name} {found.champion:.4f}, difference {found.difference:+.4f} "
        f"[{found.low:+.4f}, {found.high:+.4f}], p = {found.p_value:.2g} ({found.test}).",
        f"Only the challenger is right on {found.wins} rows, only {found.champion_name} on {found.losses}."
        if found.metric != "log_loss"
        else f"The challenger is the better one on {found.wins} rows, {found.champion_name} on {found.losses}.",
    ]
    if found.challenger_cost is not None:
        against = (
            f", {found.champion_name} {found.champion_cost.latency_ms_p95:.2f} ms and "
            f"{found.champion_cost.memory_mib:.0f} MiB"
            if found.champion_cost
            else ""
        )
        said.append(
            f"One row takes the challenger {found.challenger_cost.latency_ms_p95:.2f} ms (p95) in "
            f"{found.challenger_cost.memory_mib:.0f} MiB{against}."
        )
    return said
