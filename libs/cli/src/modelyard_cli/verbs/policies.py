"""modelyard policies: the documents that decide when a model is retrained, accepted and rolled out."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer
from pydantic import ValidationError
from rich.console import Group, RenderableType
from rich.text import Text

from modelyard import ApiError, RegistryClient
from modelyard.switching import Switch, set_switched, switch_of
from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, cell, complaints, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.options import DEFAULT_REASON, ModelArgument, Reason
from modelyard_contracts.documents import Document, DocumentError
from modelyard_contracts.policies import POLICIES
from modelyard_contracts.policy_changes import exact
from modelyard_contracts.sentences import explain

app = typer.Typer(help="Read, change and switch the policies of a model.", no_args_is_help=True)
Kind = Annotated[str, typer.Argument(help=f"Policy: {', '.join(POLICIES)}.")]


@app.command("get")
@reports_errors
def get_policy(
    model: ModelArgument, kind: Kind, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE
) -> None:
    """Show a policy; revision 0 is the default."""
    found = Platform.find(data_dir).registry.policy_info(model, _checked(kind))
    fields = [{"field": name, "value": value} for name, value in found.document.items()]
    title = f"{kind} policy of {model}, revision {found.revision}"
    show(output, found.model_dump(mode="json"), lambda: rows(title, ("field", "value"), fields))


@app.command("set")
@reports_errors
def set_policy(
    model: ModelArgument,
    kind: Kind,
    fields: Annotated[
        list[str] | None, typer.Argument(help="FIELD=VALUE, such as windows=recent,all; the others stay.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="JSON file with the whole document.")] = None,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Change fields of a policy, or replace it from a file."""
    registry = Platform.find(data_dir).registry
    current = registry.policy_info(model, _checked(kind))
    document = dict(current.document) if file is None else _read(file)
    document |= dict(_field(text, POLICIES[kind]) for text in fields or ())
    try:
        policy: Any = POLICIES[kind].model_validate(document)
    except ValidationError as error:
        explained = explain(error)
        raise StackError(f"{explained.field or kind}: {explained.problem}") from error
    saved = registry.set_policy(model, policy, expected_revision=current.revision, reason=reason)
    show(output, saved.model_dump(mode="json"), lambda: f"{kind} policy of {model}: revision {saved.revision}")


@app.command("apply")
@reports_errors
def apply_policies(
    model: ModelArgument,
    policy: Annotated[
        str,
        typer.Argument(
            help="canary, adaptive, learners or learners-on-schedule; a YAML file with gate, retrain and rollout; "
            "or the name of a policy in --report."
        ),
    ],
    report: Annotated[Path | None, typer.Option(help="Report of a backtest: its folder, or its report.json.")] = None,
    row_interval: Annotated[
        str | None,
        typer.Option(help="Mean time between two rows of the model, such as 30m; waits count rows."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would change.")] = False,
    reason: Annotated[str | None, typer.Option(help="Reason; without it, the policy and where it is from.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Switch a model to the policies of a name, a file or a backtest; print each field that changes.

    Who approves, the route, its time limit and what is trained stay as the model has them, unless a file names them.
    """
    from modelyard_cli.backtest.chosen import chosen, pace_of

    platform, now = Platform.find(data_dir), datetime.now(UTC)
    found = chosen(policy, report, row_interval, lambda: pace_of(platform.monitor, model, now))
    try:
        switch = switch_of(platform.registry, platform.monitor, model, found.policies, now, found.named)
    except DocumentError as error:
        raise StackError(f"{model} cannot have {found.title}: {error}") from error
    if not dry_run:
        _set(platform.registry, switch, reason or found.title)
    show(output, _as_data(switch, dry_run=dry_run), lambda: Group(*_for_people(switch, dry_run=dry_run)))


@app.command("history")
@reports_errors
def history(model: ModelArgument, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """List the changes of a model's policies, oldest first."""
    entries = Platform.find(data_dir).registry.history(model)
    found = [it.model_dump(mode="json") for it in entries if it.policy]
    columns = ("occurred_at", "policy", "actor", "reason")
    show(output, found, lambda: rows(f"policy changes of {model}", columns, found))


def _set(registry: RegistryClient, switch: Switch, reason: str) -> None:
    try:
        set_switched(registry, switch, reason)
    except ApiError:
        complaints.print("not all policies were set; the same command sets the rest", soft_wrap=True)
        raise


def _as_data(switch: Switch, *, dry_run: bool) -> dict[str, Any]:
    def listed(part: str) -> list[dict[str, Any]]:
        return [{"policy": one.kind, **asdict(field)} for one in switch.policies for field in getattr(one, part)]

    found = {"changes": listed("changes"), "kept": listed("kept"), "notes": list(switch.notes)}
    return {"model": switch.model, "set": bool(switch.changed) and not dry_run, **found}


def _for_people(switch: Switch, *, dry_run: bool) -> Iterator[RenderableType]:
    found = _as_data(switch, dry_run=dry_run)
    if switch.changed:
        title = f"policies of {switch.model}: {'would change' if dry_run else 'changed'}"
        lines = [
            {**one, "field": one["path"], "now": exact(one["before"]), "new": exact(one["after"])}
            for one in found["changes"]
        ]
        yield rows(title, ("policy", "field", "now", "new"), lines)
    else:
        yield Text(f"nothing to change: {switch.model} has these policies")
    for one in found["kept"]:
        yield Text(f"kept: {one['policy']} {one['path']} {cell(exact(one['before']))}, not {cell(exact(one['after']))}")
    yield from (Text(f"note: {note}") for note in found["notes"])


def _checked(kind: str) -> str:
    if kind not in POLICIES:
        raise StackError(f"policy: there is no {kind!r}; use {', '.join(POLICIES)}")
    return kind


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except OSError as error:
        raise StackError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise StackError(f"{file} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise StackError(f"{file}: must hold a JSON object")
    return found


def _field(text: str, policy: type[Document]) -> tuple[str, Any]:
    """The field and its value: JSON, else text; `a,b` is a list where the policy has one."""
    name, found, value = text.partition("=")
    if not found:
        raise StackError(f"{text!r}: write FIELD=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        field = policy.model_fields.get(name)
        listed = field is not None and get_origin(field.annotation) is tuple
        return name, [part.strip() for part in value.split(",") if part.strip()] if listed else value
