"""modelyard learners: models that learn from each label as it arrives."""

from typing import Annotated

import typer

from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR

COLUMNS = ("model", "learner", "state", "learned_rows", "lag_s", "version", "published_at", "reason")


@reports_errors
def learners(
    model: Annotated[str | None, typer.Argument(help="Only the learners of this model.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """List online learners: rows learned, newest published version, and why one does not run."""
    found = [one.model_dump(mode="json") for one in Platform.find(data_dir).trainer.learners(model)]
    show(output, found, lambda: rows("online learners", COLUMNS, found))
