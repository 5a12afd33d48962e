"""A policy of a published report for a model: which there are, at which pace, and what is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelyard import LoopReport, LoopWay
from modelyard_console.domain.names import name_problem
from modelyard_contracts.durations import duration_s
from modelyard_contracts.policies import Policy
from modelyard_contracts.policy_changes import UnfitPolicy, at_pace, checked


@dataclass(frozen=True)
class Asked:
    """The fields of the form, as typed."""

    policy: str = ""
    """Name of a way to work in the report."""
    model: str = ""
    row_interval: str = ""
    """Mean time between two rows of the model, such as 30m."""
    reason: str = ""


def usable(report: LoopReport) -> list[LoopWay]:
    """The policies that the report states, in its order."""
    return [way for way in report.ways if way.is_platform and way.documents]


def problems_of(asked: Asked, report: LoopReport) -> dict[str, str]:
    """What is wrong with which field; empty when nothing is."""
    found: dict[str, str] = {}
    if asked.policy not in [way.name for way in usable(report)]:
        found["policy"] = "Policy: choose one of this report"
    if problem := name_problem(asked.model):
        found["model"] = problem
    if asked.row_interval:
        try:
            if not duration_s(asked.row_interval):
                found["row_interval"] = "Time between two rows: must be longer than 0"
        except ValueError as error:
            found["row_interval"] = f"Time between two rows: {error}"
    elif report.row_interval_s is None:
        found["row_interval"] = "Time between two rows: fill it in; the rows of the report had no times"
    return found


def policies_of(asked: Asked, report: LoopReport) -> Mapping[str, Policy]:
    """The policies by kind, with waits of as many rows as in the report. UnfitPolicy if they are none."""
    way = next((one for one in usable(report) if one.name == asked.policy), None)
    if way is None:
        raise UnfitPolicy("policy", "is not in this report")
    wanted_s = duration_s(asked.row_interval) if asked.row_interval else None
    return at_pace(checked(way.documents), report.row_interval_s, wanted_s)


def usual_reason(asked: Asked, report: LoopReport) -> str:
    """A reason that names the policy and the report."""
    at = f", a row every {asked.row_interval}" if asked.row_interval else ""
    return f"{asked.policy} of the {report.kind} of {report.name}{at}"
