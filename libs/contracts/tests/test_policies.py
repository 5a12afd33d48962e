"""A policy that one service stores must be one that the others can compute with."""

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from modelyard_contracts.policies import CENTURY_S, POLICIES, GatePolicy, RetrainPolicy, RolloutPolicy
from modelyard_contracts.signature import Task

NUMBERS = [
    (kind, name)
    for kind, policy in POLICIES.items()
    for name, field in policy.model_fields.items()
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]


@pytest.mark.parametrize(("kind", "name"), NUMBERS)
def test_no_number_is_infinite_or_too_long_for_the_wire(kind: str, name: str) -> None:
    for value in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValidationError):
            POLICIES[kind].model_validate({name: value})
    if isinstance(POLICIES[kind].model_fields[name].default, int):
        with pytest.raises(ValidationError):
            POLICIES[kind].model_validate({name: 2**31})


def test_any_duration_can_be_added_to_a_moment() -> None:
    for policy in (RetrainPolicy, RolloutPolicy):
        for name in (name for name in policy.model_fields if name.endswith("_s")):
            with pytest.raises(ValidationError):
                policy.model_validate({name: 1e12})
            with pytest.raises(ValidationError):
                policy.model_validate({name: -1})
            longest = policy.model_validate({name: CENTURY_S})
            assert datetime.now(UTC) + timedelta(seconds=getattr(longest, name))


def test_the_least_that_a_policy_asks_for_still_holds() -> None:
    for policy, name, least in (
        (GatePolicy, "min_rows", 30),
        (GatePolicy, "recent_rows", 100),
        (RetrainPolicy, "window_rows", 200),
        (RetrainPolicy, "holdout_rows", 50),
    ):
        assert policy.model_validate({name: least})
        with pytest.raises(ValidationError):
            policy.model_validate({name: least - 1})
    with pytest.raises(ValidationError):
        RolloutPolicy(max_hold_s=0)
    with pytest.raises(ValidationError):
        RolloutPolicy(route="a/../b")


def test_the_gate_takes_the_metric_that_chose_the_version_unless_the_policy_names_one() -> None:
    assert GatePolicy().metric_for(Task.BINARY) == "accuracy"
    assert GatePolicy().metric_for(Task.BINARY, "macro_f1") == "macro_f1"
    assert GatePolicy().metric_for(Task.BINARY, "mae") == GatePolicy().metric_for(Task.BINARY, "x") == "accuracy"
    assert GatePolicy(metric="log_loss").metric_for(Task.BINARY, "macro_f1") == "log_loss"
    assert GatePolicy().metric_for(Task.REGRESSION, "rmse") == "rmse"


@pytest.mark.parametrize(
    ("conflict", "remedy"),
    [({"approval": "manual"}, "approval to `automatic`"), ({"max_open_s": 0}, "max_open_s above 0")],
)
def test_a_live_share_needs_automatic_approval_and_open_comparisons(conflict: dict[str, object], remedy: str) -> None:
    assert GatePolicy.model_validate({"inconclusive": "live_share"}).live_share_percent == 5.0
    with pytest.raises(ValidationError, match=remedy):
        GatePolicy.model_validate({"inconclusive": "live_share", **conflict})
