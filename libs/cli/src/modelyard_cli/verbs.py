"""What an operator asks and does: models, runs, rollouts, rollback, drift, story."""

from textwrap import shorten
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, cell, complain, rows, show, told
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError

ModelArgument = Annotated[str, typer.Argument(help="Name of the model.")]
OptionalModel = Annotated[str | None, typer.Argument(help="Name of the model; all without it.")]
Limit = Annotated[int, typer.Option(min=1, max=1_000, help="At most this many, newest first.")]
WAIT_S: Final = 30.0


@told
def models(model: OptionalModel = None, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """List the models, or the versions of one."""
    registry = Platform.find(data_dir).registry
    if model is None:
        found = [it.model_dump(mode="json") for it in registry.models()]
        show(output, found, lambda: rows("models", ("name", "owner", "aliases", "created_at", "description"), found))
        return
    versions = [version.model_dump(mode="json") for version in registry.versions(model)]
    columns = ("version", "stage", "digest", "created_at", "created_by")
    show(output, versions, lambda: rows(f"versions of {model}", columns, versions))


@told
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


@told
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


@told
def rollback(
    model: ModelArgument,
    version: Annotated[int | None, typer.Option(help="Serve this one; without it, the one that served before.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it stays in the history.")] = "asked for on the command line",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Put the version before back in front of all traffic, now; returns when every live router has applied it."""
    done = Platform.find(data_dir).deployer.roll_back(model, version=version, reason=reason, wait_s=WAIT_S)
    show(output, done, lambda: _rolled_back(model, done))
    if done["state"] == "failed":
        complain(f"{model} was not rolled back: {done['reason']}")
        raise typer.Exit(1)


def _rolled_back(model: str, done: dict[str, Any]) -> str:
    """What came of it; the reason of a failure stands on stderr."""
    if done["state"] == "failed":
        return ""
    if done["state"] == "aborted":
        return f"{model}: the canary of version {done['to_version']} is taken back; what served goes on serving"
    moved = f"{model}: version {cell(done['from_version'])} -> {cell(done['to_version'])}"
    if done["seconds"] is None:
        return f"{moved}, {done['state']}: not every live router has said after {WAIT_S:.0f} s that it applied it"
    return f"{moved}, applied by every live router after {done['seconds']:.2f} s"


@told
def drift(
    model: ModelArgument,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    limit: Limit = 20,
    output: FormOption = Form.TABLE,
) -> None:
    """List what drifted, with the size and the certainty of it."""
    platform = Platform.find(data_dir)
    found = known(platform, model, platform.monitor.drift(model, limit=limit))
    people = [{**event["payload"], **event} for event in found]
    columns = ("occurred_at", "severity", "kind", "subject", "model_version", "detector", "statistic", "p_value")
    show(output, found, lambda: rows(f"drift of {model}", (*columns, "correlation_id", "reason"), people))


@told
def story(
    correlation_id: Annotated[UUID, typer.Argument(help="The correlation id that every event of a story carries.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Tell what happened, when and why, from the first event to the last."""
    events = Platform.find(data_dir).monitor.story(correlation_id)
    if not events:
        raise StackError(f"no event carries {correlation_id}; `modelyard runs` and `modelyard drift` name such ids")
    told_events = [{**event, "what": summary(event)} for event in events]
    show(output, events, lambda: rows(f"story {correlation_id}", ("occurred_at", "type", "what"), told_events))


@told
def history(
    model: ModelArgument,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Tell all that was ever decided about a model, by whom and why, oldest first."""
    facts = [fact.model_dump(mode="json") for fact in Platform.find(data_dir).registry.history(model)]
    people = [{**fact, "what": _decision(fact), "by": fact["actor"]} for fact in facts]
    columns = ("position", "occurred_at", "by", "what", "reason")
    show(output, facts, lambda: rows(f"history of {model}", columns, people))


def _decision(fact: dict[str, Any]) -> str:
    """What happened, without why."""
    detail = fact["detail"]
    version = fact["version"] or detail.get("version") or detail.get("to_version")
    stands = fact["stage"] or detail.get("state") or detail.get("verdict")
    parts = (fact["alias"], fact["policy"], f"v{version}" if version else None, stands)
    return " ".join([str(fact["change"]).replace("_", " "), *(str(part) for part in parts if part)])


def known(platform: Platform, model: str | None, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was found; where that is nothing, ApiError if there is no such model: a slip is no empty list."""
    if model is not None and not found:
        platform.registry.model(model)
    return found


SUMMED: Final = (
    *("change", "kind", "subject", "state", "stage", "verdict", "alias", "policy"),
    *("version", "challenger_version", "to_version", "weight_percent", "sequence"),
)
"""The fields of any event that a reader of a story wants to see, in this order."""


def summary(event: dict[str, Any]) -> str:
    """One line of an event: what a reader of a story wants to know of it."""
    payload = event["payload"]
    parts = [
        f"{name.replace('_', ' ')} {cell(payload[name])}" for name in SUMMED if payload.get(name) not in (None, "")
    ]
    reason = payload.get("reason") or " ".join(payload.get("reasons") or ())
    return ", ".join(parts) + (f": {reason}" if reason else "")


def short(event: dict[str, Any], width: int = 150) -> str:
    """The same for someone who watches: no longer than a line."""
    return shorten(summary(event), width, placeholder=" ...")


def add_to(app: typer.Typer) -> None:
    """Register every verb."""
    for command in (models, runs, rollouts, rollback, drift, story, history):
        app.command()(command)
