"""What a challenger must show: the standard of the gate that applies to one evaluation."""

from typing import Final

from modelyard_contracts.policies import GatePolicy
from modelyard_evaluator.domain.evaluation import Evaluation, OpenAlarm

SAFE_ROWS: Final = 30
"""Rows that show usable answers; how good a member of a vote is follows from the labels."""


def applied(policy: GatePolicy, *, adaptive: bool, first: bool, failing: bool = False) -> GatePolicy:
    """Return the policy with the standard in force in place of `auto`.

    adaptive: the versions of the model vote. first: nothing serves yet, so a version must be better than a constant.
    failing: a performance alarm of the champion is open.
    """
    if first:
        return policy.model_copy(update={"standard": "better"})
    standard = policy.standard
    if standard == "auto":
        standard = "safe" if adaptive else "not_worse" if failing else "better"
    if standard == "safe":
        return policy.model_copy(update={"standard": standard, "min_rows": min(policy.min_rows, SAFE_ROWS)})
    return policy.model_copy(update={"standard": standard})


def strict(policy: GatePolicy) -> GatePolicy:
    """Return the policy for versions other than the challenger: they take a place only if they are better."""
    return policy.model_copy(update={"standard": "better"}) if policy.standard == "not_worse" else policy


def explained(evaluation: Evaluation) -> tuple[str, ...]:
    """Return in a sentence why the standard applies; nothing for the usual one."""
    alarm, standard = evaluation.alarm, evaluation.policy.standard
    if evaluation.alarms_unknown and alarm is None:
        return (f"Open alarms of {evaluation.champion_name} are not known: {evaluation.alarms_unknown}.",)
    if standard == "not_worse":
        margin = f"Not being worse by {evaluation.policy.not_worse_margin:g} or more is enough"
        if alarm is None:
            return (f"{margin}, by the gate policy.",)
        return (f"{margin}: {_failing(evaluation, alarm)}.",)
    if standard == "better" and alarm is not None:
        return (f"By the gate policy, a gain is needed although {_failing(evaluation, alarm)}.",)
    return ()


def _failing(evaluation: Evaluation, alarm: OpenAlarm) -> str:
    change = f", risen at {alarm.change_point:%Y-%m-%d %H:%M:%S} UTC" if alarm.change_point else ""
    subject = alarm.subject.replace("_", " ")
    since = f"{alarm.since:%Y-%m-%d %H:%M:%S} UTC"
    return f"the {subject} of {evaluation.champion_name} has an open alarm since {since}{change}"


def joins_a_vote(policy: GatePolicy) -> bool:
    """Whether usable answers are enough, as the labels decide the weight of a member."""
    return policy.standard == "safe"
