"""modelyard connections: providers of models, with their prices and limits."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from modelyard import ApiError, RegistryClient
from modelyard.results import ConnectionInfo
from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError
from modelyard_cli.verbs.options import DEFAULT_REASON, Reason
from modelyard_contracts.connections import Connection
from modelyard_contracts.sentences import explain

app = typer.Typer(help="Providers of models: endpoint, name of the secret, prices, limits.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Connection: NAME or WORKSPACE:NAME.")]
Revision = Annotated[
    int | None, typer.Option("--expected-revision", help="Refuse if it is at another revision; without it, any.")
]


@app.command("set")
@reports_errors
def set_connection(
    name: Name,
    file: Annotated[Path, typer.Argument(help="YAML or JSON file with the whole connection.")],
    expected_revision: Revision = None,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Create a connection, or replace all of it."""
    wanted = _read(file)
    registry = Platform.find(data_dir).registry
    expected = _revision(registry, name) if expected_revision is None else expected_revision
    saved = registry.set_connection(name, wanted, expected_revision=expected, reason=reason)
    show(output, saved.model_dump(mode="json"), lambda: f"connection {saved.name}: revision {saved.revision}")


@app.command("list")
@reports_errors
def list_connections(data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """List the connections."""
    found = Platform.find(data_dir).registry.connections()
    columns = ("name", "endpoint", "secret", "currency", "models", "revision", "changed_at", "changed_by")
    lines = [_line(one) for one in found]
    show(output, [one.model_dump(mode="json") for one in found], lambda: rows("connections", columns, lines))


@app.command("get")
@reports_errors
def get_connection(name: Name, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """Show a connection with its prices per 1,000,000 tokens, and the versions that use it."""
    found = Platform.find(data_dir).registry.connection(name)
    show(output, found.model_dump(mode="json"), lambda: rows(_title(found), ("field", "value"), _fields(found)))


@app.command("delete")
@reports_errors
def delete_connection(
    name: Name,
    expected_revision: Revision = None,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Delete a connection that no version uses; its history stays."""
    registry = Platform.find(data_dir).registry
    expected = registry.connection(name).revision if expected_revision is None else expected_revision
    registry.delete_connection(name, expected_revision=expected, reason=reason)
    show(output, {"deleted": name}, lambda: f"connection {name} is deleted")


@app.command("history")
@reports_errors
def history(name: Name, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """List the changes of a connection, oldest first."""
    found = [it.model_dump(mode="json") for it in Platform.find(data_dir).registry.connection_history(name)]
    columns = ("occurred_at", "change", "actor", "reason")
    show(output, found, lambda: rows(f"changes of the connection {name}", columns, found))


def _revision(registry: RegistryClient, name: str) -> int:
    """The revision that it has now; 0 if there is none."""
    try:
        return registry.connection(name).revision
    except ApiError as error:
        if error.code != "connection_not_found":
            raise
        return 0


def _read(file: Path) -> Connection:
    """The connection of a file. Errors name the field and never its value, which might be a key."""
    from modelyard_own import facts_in

    try:
        return Connection.model_validate(facts_in(file))
    except ValidationError as error:
        raise StackError(f"{file}: {explain(error).sentence}") from error


def _line(one: ConnectionInfo) -> dict[str, Any]:
    found = {**one.document.model_dump(mode="json"), **one.model_dump(mode="json", exclude={"document"})}
    return {**found, "models": ", ".join(one.document.models)}


def _title(found: ConnectionInfo) -> str:
    return (
        f"connection {found.name}, revision {found.revision}; prices in {found.document.currency} per 1,000,000 tokens"
    )


def _fields(found: ConnectionInfo) -> list[dict[str, Any]]:
    document = found.document.model_dump(mode="json", exclude={"models", "limits", "schema_version", "min_release"})
    facts = {**document, **{f"limit {name}": value for name, value in dict(found.document.limits).items()}}
    facts |= {f"model {name}": _terms(terms.model_dump()) for name, terms in found.document.models.items()}
    facts["used by"] = ", ".join(found.used_by)
    return [{"field": name.replace("_", " "), "value": value} for name, value in facts.items() if value is not None]


def _terms(terms: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in terms.items() if value)
