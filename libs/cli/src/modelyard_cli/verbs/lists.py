"""Verbs that list: models, runs, evaluations, rollouts, drift, alarms, timeline, history."""

from collections.abc import Sequence
from textwrap import shorten
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from modelyard import MonitorClient
from modelyard.results import Result
from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, cell, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.options import Limit, ModelArgument, OptionalModel

Dataset = Annotated[str | None, typer.Option(help="Only what was made from data with this digest, sha256:...")]
BaseModel = Annotated[
    str | None, typer.Option(help="Only what was fine-tuned from this model: ORG/NAME, MODEL, MODEL@3.")
]
Run = Annotated[str | None, typer.Option(help="Only what the training run with this id made.")]


@reports_errors
def models(
    model: OptionalModel = None,
    dataset: Dataset = None,
    base_model: BaseModel = None,
    run: Run = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """List the models, or the versions of one; all of them, or those that were made from something."""
    registry = Platform.find(data_dir).registry
    if model is None:
        found = [it.model_dump(mode="json") for it in registry.models(dataset=dataset, base_model=base_model, run=run)]
        show(output, found, lambda: rows("models", ("name", "owner", "aliases", "created_at", "description"), found))
        return
    versions = [
        version.model_dump(mode="json")
        for version in registry.versions(model, dataset=dataset, base_model=base_model, run=run)
    ]
    columns = ("version", "stage", "digest", "created_at", "created_by")
    show(output, versions, lambda: rows(f"versions of {model}", columns, versions))


@reports_errors
def runs(
    model: OptionalModel = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    limit: Limit = 20,
    output: FormOption = Form.TABLE,
) -> None:
    """List training runs."""
    platform = Platform.find(data_dir)
    found = known(platform, model, platform.trainer.runs(model, limit=limit))
    columns = ("run_id", "correlation_id", "model", "created_at", "trigger", "recipe", "state", "progress", "version")
    show(output, found, lambda: rows("training runs", (*columns, "reason"), found))


@reports_errors
def rollouts(
    model: OptionalModel = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    limit: Limit = 20,
    output: FormOption = Form.TABLE,
) -> None:
    """List rollouts."""
    platform = Platform.find(data_dir)
    found = known(platform, model, platform.deployer.rollouts(model, limit=limit))
    columns = ("rollout_id", "correlation_id", "model", "created_at", "strategy", "from_version", "to_version")
    show(output, found, lambda: rows("rollouts", (*columns, "state", "weight_percent", "reason"), found))


@reports_errors
def evaluations(
    model: OptionalModel = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    limit: Limit = 20,
    output: FormOption = Form.TABLE,
) -> None:
    """List evaluations with their verdicts."""
    platform = Platform.find(data_dir)
    listed = platform.evaluator.evaluations(model, limit=limit)
    found = known(platform, model, listed)
    people = [
        {**shown, "stage": one.progress, "reason": " ".join(one.reasons) or one.note}
        for one, shown in zip(listed, found, strict=True)
    ]
    columns = ("evaluation_id", "model", "created_at", "challenger_version", "stage", "verdict", "reason")
    show(output, found, lambda: rows("evaluations", columns, people))


@reports_errors
def drift(
    model: ModelArgument,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    limit: Limit = 20,
    output: FormOption = Form.TABLE,
) -> None:
    """List drift, with its size, its p-value and the action that it expects to pay."""
    platform = Platform.find(data_dir)
    found = known(platform, model, platform.monitor.drift(model, limit=limit))
    people = [{**event["payload"], "reason": _why(event["payload"]), **event} for event in found]
    columns = ("occurred_at", "severity", "kind", "subject", "model_version", "detector", "statistic", "p_value")
    words = ("recommendation", "correlation_id", "reason")
    show(output, found, lambda: rows(f"drift of {model}", (*columns, *words), people))


@reports_errors
def alarms(
    model: ModelArgument,
    closed: Annotated[bool, typer.Option("--all", help="Also alarms that are recovered, replaced or expired.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """List the performance alarms that are open, with the moment of the change and the errors around it."""
    platform = Platform.find(data_dir)
    found = known(platform, model, platform.monitor.alarms(model, closed=closed))
    columns = ("version", "state", "severity", "subject", "since", "change_point", "error_before", "error_after")
    words = ("error_now", "recommendation", "reason")
    show(output, found, lambda: rows(f"performance alarms of {model}", (*columns, *words), found))


@reports_errors
def timeline(
    correlation_id: Annotated[UUID, typer.Argument(help="Correlation id, from `modelyard runs` or `drift`.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """List every event with one correlation id, from the first to the last."""
    monitor = Platform.find(data_dir).monitor
    events = [event.model_dump(mode="json") for event in monitor.timeline(correlation_id)]
    if not events:
        raise StackError(f"no event has the correlation id {correlation_id}; `modelyard runs` and `drift` list them")
    people = [{**event, "what": summary(event) + unseen_values(monitor, event)} for event in events]
    show(output, events, lambda: rows(f"timeline {correlation_id}", ("occurred_at", "type", "what"), people))


@reports_errors
def history(
    model: ModelArgument,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """List every decision about a model, with its actor and reason, oldest first."""
    facts = [fact.model_dump(mode="json") for fact in Platform.find(data_dir).registry.history(model)]
    people = [{**fact, "what": _decision(fact), "by": fact["actor"]} for fact in facts]
    columns = ("position", "occurred_at", "by", "what", "reason")
    show(output, facts, lambda: rows(f"history of {model}", columns, people))


def _decision(fact: dict[str, Any]) -> str:
    """The decision, without its reason."""
    detail = fact["detail"]
    version = fact["version"] or detail.get("version") or detail.get("to_version")
    stands = fact["stage"] or detail.get("state") or detail.get("verdict")
    parts = (fact["alias"], fact["policy"], f"v{version}" if version else None, stands)
    return " ".join([str(fact["change"]).replace("_", " "), *(str(part) for part in parts if part)])


def known(platform: Platform, model: str | None, found: Sequence[Result]) -> list[dict[str, Any]]:
    """The items as JSON; ApiError if there are none because the model does not exist."""
    if model is not None and not found:
        platform.registry.model(model)
    return [item.model_dump(mode="json") for item in found]


SUMMED: Final = (
    *("change", "kind", "subject", "state", "stage", "verdict", "alias", "policy", "recommendation"),
    *("version", "challenger_version", "to_version", "weight_percent", "sequence"),
)
"""Fields of an event that its summary shows, in this order."""


def summary(event: dict[str, Any]) -> str:
    """One line about an event."""
    payload = event["payload"]
    parts = [
        f"{name.replace('_', ' ')} {cell(payload[name])}" for name in SUMMED if payload.get(name) not in (None, "")
    ]
    reason = _why(payload) or " ".join(payload.get("reasons") or ())
    return ", ".join(parts) + (f": {reason}" if reason else "")


def unseen_values(monitor: MonitorClient, event: dict[str, Any]) -> str:
    """The values behind an alarm about unseen values, as an addition to its summary; empty for any other event."""
    if event["payload"].get("alert") != "unseen_values_high":
        return ""
    found = ", ".join(f"{one.value!r} {one.rows} times" for one in monitor.event(event["event_id"]).unseen)
    return found and f"; most frequent: {found}"


def _why(payload: dict[str, Any]) -> str:
    """The reason of an event and, if there is one, that of its recommendation."""
    reasons = (payload.get("reason"), payload.get("recommendation_reason"))
    return "; ".join(one for one in reasons if one)


def short(event: dict[str, Any], width: int = 150) -> str:
    """The summary, cut to a line."""
    return shorten(summary(event), width, placeholder=" ...")
