"""The decision table."""

from typing import Any

import pytest

from modelyard_contracts import Verdict
from modelyard_contracts.policies import GatePolicy
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
