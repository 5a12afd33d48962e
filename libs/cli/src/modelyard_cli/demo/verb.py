"""modelyard demo: what it is asked; the rest is loaded when it is."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard_cli.output import Form, FormOption, reports_errors
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR


@reports_errors
def demo(
    data: Annotated[
        Path | None, typer.Option(help="A CSV file with a time-ordered binary target; Elec2 without.")
    ] = None,
    data_dir: Annotated[Path, typer.Option(help="The folder of the demo.")] = DEFAULT_DATA_DIR / "demo",
    rate: Annotated[
        float | None, typer.Option(min=1, help="Requests per second; without it, about four minutes for all rows.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running afterwards, to look around.")] = False,
    output: FormOption = Form.TABLE,
) -> None:
    """Show the whole closed loop: train, serve, drift, retrain, evaluate, roll out, roll back."""
    from modelyard_cli.demo.command import run_demo

    run_demo(data, data_dir, rate, keep=keep, output=output)
