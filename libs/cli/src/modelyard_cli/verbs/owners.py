"""modelyard owner: who answers for a model."""

from typing import Annotated

import typer

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, reports_errors, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR
from modelyard_cli.verbs.options import DEFAULT_REASON, ModelArgument, Reason


@reports_errors
def owner(
    model: ModelArgument,
    new_owner: Annotated[str, typer.Argument(help="Person or team that answers for the model.", metavar="OWNER")],
    expected: Annotated[
        str | None,
        typer.Option(help="Owner that it has now, empty for none; refused if it has another one. Without it, any."),
    ] = None,
    reason: Reason = DEFAULT_REASON,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Name another owner of a model; the change is kept in its history."""
    registry = Platform.find(data_dir).registry
    before = registry.model(model).owner if expected is None else expected
    found = registry.set_owner(model, new_owner, expected_owner=before, reason=reason)
    show(output, found.model_dump(mode="json"), lambda: f"the owner of {found.name} is {found.owner}")
