"""modelyard demo: its options; the rest is loaded when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard_cli.output import Form, FormOption, reports_errors
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR
from modelyard_cli.train import choices_of
from modelyard_cli.verbs.options import ColumnTypes, Decimal, Encoding, Separator, TargetColumn, TaskName, TimeColumn


@reports_errors
def demo(
    data: Annotated[Path | None, typer.Option(help="A CSV file in order of time; Elec2 without it.")] = None,
    task: TaskName = None,
    target: TargetColumn = None,
    time: TimeColumn = None,
    column: ColumnTypes = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    encoding: Encoding = "utf-8",
    data_dir: Annotated[Path, typer.Option(help="The folder of the demo.")] = DEFAULT_DATA_DIR / "demo",
    rate: Annotated[
        float | None, typer.Option(min=1, help="Requests per second; without it, about four minutes for all rows.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running afterwards.")] = False,
    output: FormOption = Form.TABLE,
) -> None:
    """Show the whole closed loop: train, serve, drift, retrain, evaluate, roll out, roll back."""
    from modelyard_cli.demo.command import run_demo

    choices = choices_of(target, time, task, column, separator, decimal, encoding)
    run_demo(data, choices, data_dir, rate, keep=keep, output=output)
