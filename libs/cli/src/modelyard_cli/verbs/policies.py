"""modelyard policies: the documents that decide when a model is retrained, accepted and rolled out."""

import json
from pathlib import Path
from typing import Annotated, Any, get_origin

import typer
from pydantic import ValidationError

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.options import DEFAULT_REASON, ModelArgument, Reason
from modelyard_contracts.documents import Document
from modelyard_contracts.policies import POLICIES
from modelyard_contracts.sentences import explain

app = typer.Typer(help="Read and change the policies of a model.", no_args_is_help=True)
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


@app.command("history")
@reports_errors
def history(model: ModelArgument, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """List the changes of a model's policies, oldest first."""
    entries = Platform.find(data_dir).registry.history(model)
    found = [it.model_dump(mode="json") for it in entries if it.policy]
    columns = ("occurred_at", "policy", "actor", "reason")
    show(output, found, lambda: rows(f"policy changes of {model}", columns, found))


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
