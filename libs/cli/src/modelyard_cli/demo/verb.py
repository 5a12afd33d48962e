"""modelyard demo: its options; the rest is loaded when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard_cli.output import Form, FormOption, reports_errors
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR
from modelyard_cli.train import checked_task


@reports_errors
def demo(
    data: Annotated[Path | None, typer.Option(help="A CSV file in order of time; Elec2 without it.")] = None,
    task: Annotated[
        str | None, typer.Option(help="binary, multiclass or regression; inferred from the target without it.")
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="The folder of the demo.")] = DEFAULT_DATA_DIR / "demo",
    rate: Annotated[
        float | None, typer.Option(min=1, help="Requests per second; without it, about four minutes for all rows.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running afterwards.")] = False,
    output: FormOption = Form.TABLE,
) -> None:
    """Show the whole closed loop: train, serve, drift, retrain, evaluate, roll out, roll back."""
    from modelyard_cli.demo.command import run_demo

    run_demo(data, checked_task(task), data_dir, rate, keep=keep, output=output)
