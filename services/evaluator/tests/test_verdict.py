"""The decision table."""

from typing import Any

import pytest

from modelyard_contracts import Verdict
from modelyard_contracts.policies import GatePolicy
from modelyard_evaluator.domain.standards import applied
from modelyard_evaluator.domain.verdict import Comparison, Cost, judge

from .conftest import a_comparison


def compared(**changes: Any) -> Comparison:
    cost = Cost(2.0, 100.0)
    given = {**a_comparison(), "champion_cost": cost, "challenger_cost": cost, "champion_name": "version 1", **changes}
    return Comparison(**given)


@pytest.mark.parametrize(
    ("changes", "policy", "verdict", "message"),
    [
        ({}, {}, Verdict.DEPLOY, "better by at least 0.0300"),
        ({"low": 0.0, "high": 0.1}, {}, Verdict.CONTINUE_TUNING, "between +0.0000 and +0.1000"),
        ({"low": 0.01}, {"min_gain": 0.02}, Verdict.CONTINUE_TUNING, "No gain above 0.02"),
        ({"low": -0.2, "high": -0.01}, {}, Verdict.REJECT, "worse by at least 0.0100"),
        ({"rows": 299}, {}, Verdict.INCONCLUSIVE, "299 rows"),
        ({"challenger_cost": Cost(10.1, 100)}, {}, Verdict.REJECT, "5.0 times"),
        ({"challenger_cost": Cost(9.9, 100)}, {}, Verdict.DEPLOY, ""),
        ({"champion_cost": Cost(0.01, 1), "challenger_cost": Cost(0.9, 1)}, {}, Verdict.DEPLOY, ""),
        ({"champion_cost": None}, {}, Verdict.DEPLOY, ""),
        ({"metric": "log_loss", "low": -0.2, "high": -0.1}, {"metric": "log_loss"}, Verdict.DEPLOY, "at least 0.1000"),
        (
            {"metric": "mae", "low": -0.2, "high": -0.1},
            {"metric": "mae"},
            Verdict.DEPLOY,
            "mean absolute error is better",
        ),
        ({"metric": "r2", "low": 0.1, "high": 0.2}, {"metric": "r2"}, Verdict.DEPLOY, "R2 is better by at least 0.1"),
        ({"metric": "log_loss", "low": 0.1, "high": 0.2}, {"metric": "log_loss"}, Verdict.REJECT, "at least 0.1000"),
    ],
)
def test_the_table(changes: dict[str, Any], policy: dict[str, Any], verdict: Verdict, message: str) -> None:
    judgement = judge(compared(**changes), GatePolicy(**{"min_rows": 300, **policy}))
    assert judgement.verdict is verdict
    assert message in judgement.reasons[0]


def test_reasons_are_sentences_with_the_numbers() -> None:
    judgement = judge(compared(), GatePolicy())
    assert all(reason.endswith(".") for reason in judgement.reasons)
    assert any("challenger 0.7600, version 1 0.7000" in reason for reason in judgement.reasons)
    assert any("100 rows" in reason and "40" in reason for reason in judgement.reasons)
    assert any("2.00 ms" in reason for reason in judgement.reasons)


@pytest.mark.parametrize(
    ("changes", "verdict", "message"),
    [
        ({"low": -0.05, "high": 0.05}, Verdict.DEPLOY, "Safe to join the vote"),
        (
            {"low": -0.2, "high": -0.019},
            Verdict.DEPLOY,
            "not shown to be worse than that of version 1 by more than 0.02",
        ),
        ({"low": -0.2, "high": -0.021}, Verdict.REJECT, "worse than that of version 1 by at least 0.0210"),
        ({"rows": 30}, Verdict.DEPLOY, ""),
        ({"rows": 29}, Verdict.INCONCLUSIVE, "29 rows"),
        ({"challenger_cost": Cost(10.1, 100)}, Verdict.REJECT, "5.0 times"),
        ({"metric": "mae", "champion": 10.0, "low": 0.19, "high": 0.4}, Verdict.DEPLOY, "by more than 0.2"),
        ({"metric": "mae", "champion": 10.0, "low": 0.21, "high": 0.4}, Verdict.REJECT, "at least 0.2100"),
    ],
)
def test_a_member_of_a_vote_needs_usable_answers_only(changes: dict[str, Any], verdict: Verdict, message: str) -> None:
    policy = applied(GatePolicy(min_rows=300), adaptive=True, first=False)
    judgement = judge(compared(**changes), policy)
    assert judgement.verdict is verdict
    assert message in judgement.reasons[0]


@pytest.mark.parametrize(
    ("standard", "adaptive", "first", "failing", "expected"),
    [
        ("auto", False, False, False, "better"),
        ("auto", False, False, True, "not_worse"),
        ("auto", True, False, True, "safe"),
        ("auto", True, True, False, "better"),
        ("safe", False, True, False, "better"),
        ("safe", False, False, True, "safe"),
        ("better", True, False, True, "better"),
        ("not_worse", False, False, False, "not_worse"),
        ("not_worse", False, True, False, "better"),
    ],
)
def test_the_standard_in_force(standard: Any, adaptive: bool, first: bool, failing: bool, expected: str) -> None:
    policy = applied(GatePolicy(standard=standard), adaptive=adaptive, first=first, failing=failing)
    assert policy.standard == expected
