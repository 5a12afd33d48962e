"""What a challenger must show: the standard of the gate that applies to one evaluation."""

from typing import Final

from modelyard_contracts.policies import GatePolicy

SAFE_ROWS: Final = 30
"""Rows that show usable answers; how good a member of a vote is follows from the labels."""


def applied(policy: GatePolicy, *, adaptive: bool, first: bool) -> GatePolicy:
    """Return the policy with the standard in force in place of `auto`.

    adaptive: the versions of the model vote. first: nothing serves yet, so a version must be better than a constant.
    """
    if first:
        return policy.model_copy(update={"standard": "better"})
    standard = policy.standard
    if standard == "auto":
        standard = "safe" if adaptive else "better"
    if standard == "safe":
        return policy.model_copy(update={"standard": standard, "min_rows": min(policy.min_rows, SAFE_ROWS)})
    return policy.model_copy(update={"standard": standard})


def joins_a_vote(policy: GatePolicy) -> bool:
    """Whether usable answers are enough, as the labels decide the weight of a member."""
    return policy.standard == "safe"
