"""What an operator asks and does: models, runs, rollouts, rollback, drift, story."""

from textwrap import shorten
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, cell, console, rows, show, told
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR

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
        show(output, found, lambda: rows("models", ("name", "owner", "description", "aliases", "created_at"), found))
        return
    versions = [version.model_dump(mode="json") for version in registry.versions(model)]
    columns = ("version", "stage", "digest", "created_at", "created_by", "run_id")
    show(output, versions, lambda: rows(f"versions of {model}", columns, versions))


@told
def runs(
    model: OptionalModel = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    limit: Limit = 20,
    output: FormOption = Form.TABLE,
) -> None:
    """List training runs."""
    found = Platform.find(data_dir).trainer.runs(model)[:limit]
    columns = ("run_id", "model", "state", "trigger", "recipe", "progress", "version", "reason")
    show(output, found, lambda: rows("training runs", columns, found))


@told
def rollouts(
    model: OptionalModel = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    limit: Limit = 20,
    output: FormOption = Form.TABLE,
) -> None:
    """List rollouts."""
    found = Platform.find(data_dir).deployer.rollouts(model)[:limit]
    columns = ("rollout_id", "model", "state", "strategy", "from_version", "to_version", "weight_percent", "reason")
    show(output, found, lambda: rows("rollouts", columns, found))


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
    if output is Form.JSON:
        show(output, done, lambda: rows("", (), ()))
        return
    if done["state"] == "aborted":
        console.print(f"{model}: the canary of version {done['to_version']} is taken back; what served goes on serving")
        return
    console.print(
        f"{model}: version {cell(done['from_version'])} -> {cell(done['to_version'])}, "
        f"applied by every live router after {done['seconds']:.2f} s"
    )


@told
def drift(
    model: ModelArgument,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    limit: Limit = 20,
    output: FormOption = Form.TABLE,
) -> None:
    """List what drifted, with the size and the certainty of it."""
    found = Platform.find(data_dir).monitor.drift(model, limit=limit)
    columns = ("occurred_at", "severity", "kind", "subject", "model_version", "detector", "statistic", "reason")
    show(output, found, lambda: rows(f"drift of {model}", columns, found))


@told
def story(
    correlation_id: Annotated[UUID, typer.Argument(help="The correlation id that every event of a story carries.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Tell what happened, when and why, from the first event to the last."""
    events = Platform.find(data_dir).monitor.story(correlation_id)
    told_events = [{**event, "what": summary(event)} for event in events]
    show(output, events, lambda: rows(f"story {correlation_id}", ("occurred_at", "type", "what"), told_events))


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
    for command in (models, runs, rollouts, rollback, drift, story):
        app.command()(command)
