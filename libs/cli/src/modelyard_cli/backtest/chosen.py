"""The policy that `modelyard policies apply` sets: one with a name, of a file, or of the report of a backtest."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from modelyard import ApiError, MonitorClient
from modelyard_cli.backtest.named import NAMED, NewPolicies, policies_of
from modelyard_cli.backtest.report import read_report
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.durations import duration_s, duration_text
from modelyard_contracts.policies import Policy
from modelyard_contracts.policy_changes import UnfitPolicy, at_pace, checked
from modelyard_contracts.sentences import explain, plain

MEASURED_DAYS: Final = 7
MEASURED_ROWS: Final = 200
"""A mean over fewer rows says little."""
HOUR_S: Final = 3_600
FILE: Final = "report.json"
Pace = Callable[[], str]
"""What the log says about the pace of a model's rows, for an error; empty when it says nothing."""


@dataclass(frozen=True)
class Chosen:
    """title: name and origin, for the reason. named: by kind, fields that a file names and that therefore change."""

    title: str
    policies: Mapping[str, Policy]
    named: Mapping[str, frozenset[str]] = field(default_factory=dict)


def chosen(text: str, report: Path | None, row_interval: str | None, pace: Pace) -> Chosen:
    """The policies of a name of NAMED, of a YAML file, or of a name in a report. StackError says what is wrong.

    row_interval: mean time between two rows of the model, such as 30m; counts the waits of a name in rows, and those
    of a report in as many rows as in the backtest.
    """
    interval_s = None if row_interval is None else _interval_s(row_interval)
    if report is not None:
        return _of_report(report / FILE if report.is_dir() else report, text, interval_s, pace)
    name, new = policies_of(text)
    if text in NAMED:
        if interval_s is None:
            raise StackError(_needs_interval(f"policy {text} counts its waits in rows", pace))
        return Chosen(f"policy {name}, a row every {duration_text(interval_s)}", _named(new, interval_s))
    if interval_s is not None:
        raise StackError("--row-interval: is for policies with a name and those of reports; a file states its waits")
    found = new(1.0).by_kind()
    return Chosen(f"policy file {text}", found, {kind: frozenset(one.model_fields_set) for kind, one in found.items()})


def pace_of(monitor: MonitorClient, model: str, now: datetime) -> str:
    """The mean time between two rows that callers sent in the last days; empty when there were few, or it is away."""
    try:
        found = monitor.traffic_over_time(model, since=now - timedelta(days=MEASURED_DAYS), bucket_s=HOUR_S)
    except ApiError:
        return ""
    answered = [one for one in found.items if one.variant != "shadow"]
    rows = sum(one.predictions for one in answered)
    if rows < MEASURED_ROWS:
        return ""
    interval_s = (now - min(one.at for one in answered)).total_seconds() / rows
    about = duration_text(float(f"{interval_s:.2g}"))
    return f"; {model} had a row every {about} on average over the last {MEASURED_DAYS} days: --row-interval {about}"


def _named(new: NewPolicies, interval_s: float) -> dict[str, Policy]:
    try:
        return new(interval_s).by_kind()
    except ValidationError as error:
        found = explain(error)
        raise StackError(f"--row-interval: {duration_text(interval_s)} is too long: {found.sentence}") from error


def _of_report(file: Path, name: str, interval_s: float | None, pace: Pace) -> Chosen:
    report = read_report(file)
    one = _policy_of(report, name, file)
    if "documents" not in one:
        raise StackError(
            f"{file}: was written by an older release, which does not state its policies; run the backtest again with "
            "another --report folder, or apply the name or the file that it ran"
        )
    try:
        policies = checked(one["documents"])
        then_s = _known_interval_s(report.get("row_interval_s"), file)
        if then_s is None and interval_s is None:
            raise StackError(_needs_interval(f"the rows of {file} had no times", pace))
        paced = at_pace(policies, then_s, interval_s)
    except UnfitPolicy as error:
        raise StackError(f"{file}: policy {name}: {error}") from error
    at = "" if interval_s is None else f", a row every {duration_text(interval_s)}"
    return Chosen(f"policy {plain(name)} of the backtest of {plain(str(report.get('name')))}{at}", paced)


def _policy_of(report: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    listed = report.get("policies")
    if not isinstance(listed, list) or not all(isinstance(one, dict) and "name" in one for one in listed):
        raise StackError(f"{file}: is no report of a backtest: it has no policies")
    found: dict[str, Any] | None = next((one for one in listed if one["name"] == name), None)
    if found is None:
        raise StackError(f"{file}: has no policy {name!r}; it has {', '.join(str(one['name']) for one in listed)}")
    return found


def _known_interval_s(value: Any, file: Path) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value > 0 and math.isfinite(value)):
        raise StackError(f"{file}: row_interval_s: must be a number of seconds above 0, or null")
    return float(value)


def _interval_s(text: str) -> float:
    try:
        found = duration_s(text)
    except ValueError as error:
        raise StackError(f"--row-interval: {error}") from error
    if not found:
        raise StackError("--row-interval: must be longer than 0, such as 30m")
    return found


def _needs_interval(why: str, pace: Pace) -> str:
    return f"{why}; give the mean time between two rows of the model, such as --row-interval 30m{pace()}"
