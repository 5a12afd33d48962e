"""modelyard routes: how requests are divided between versions."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError

app = typer.Typer(help="Read, change and explain routes.", no_args_is_help=True)
RouteArgument = Annotated[str, typer.Argument(help="Route: NAME or WORKSPACE:NAME.")]


@app.command("list")
@reports_errors
def list_(data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """List the published routes."""
    found = [route.model_dump(mode="json") for route in Platform.find(data_dir).deployer.routes()]
    columns = ("route", "model", "sequence", "champion_version", "published_at")
    show(output, found, lambda: rows("routes", columns, found))


@app.command("get")
@reports_errors
def get_route(route: RouteArgument, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """Show a route: its specification, the published plan, and the routers that applied it."""
    found = Platform.find(data_dir).deployer.route(route).model_dump(mode="json")
    show(output, found, lambda: json.dumps(found, indent=2))


@app.command("set")
@reports_errors
def set_route(
    route: RouteArgument,
    file: Annotated[Path, typer.Argument(help="JSON file with the specification (`root` and its nodes).")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Create or replace a route from a file."""
    spec = _json(file.read_text() if file.exists() else None, str(file))
    found = Platform.find(data_dir).deployer.set_route(route, spec)
    show(output, found.model_dump(mode="json"), lambda: f"route {found.route}: sequence {found.sequence}")


@app.command("delete")
@reports_errors
def delete_route(route: RouteArgument, data_dir: DataDir = DEFAULT_DATA_DIR, output: FormOption = Form.TABLE) -> None:
    """Delete the specification of a route."""
    Platform.find(data_dir).deployer.delete_route(route)
    show(output, {"deleted": route}, lambda: f"route {route} is deleted")


@app.command("explain")
@reports_errors
def explain(
    route: RouteArgument,
    facts: Annotated[str, typer.Argument(help='Facts of a request as JSON, such as \'{"entity": "42"}\'.')] = "{}",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Show the attempts that a route makes for a request, without sending any."""
    found = Platform.find(data_dir).router.explain(route, _json(facts, "facts"))
    show(output, found, lambda: json.dumps(found, indent=2))


def _json(text: str | None, name: str) -> dict[str, Any]:
    if text is None:
        raise StackError(f"cannot read {name}")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise StackError(f"{name}: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise StackError(f"{name}: must be a JSON object")
    return found
