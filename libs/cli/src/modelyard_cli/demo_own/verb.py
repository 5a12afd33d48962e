"""modelyard demo-own: its options; the rest is loaded when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard_cli.output import Form, FormOption, reports_errors
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR


@reports_errors
def demo_own(
    only: Annotated[list[str] | None, typer.Option(help="Name of a model; repeatable. Without it, all five.")] = None,
    data_dir: Annotated[Path, typer.Option(help="The folder of the demo.")] = DEFAULT_DATA_DIR / "demo-own",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running afterwards.")] = False,
    output: FormOption = Form.TABLE,
) -> None:
    """Register and serve five models that were made elsewhere; refuse a malicious file, detect a drift, roll back.

    Exit code 1 when a count does not add up. Results are in report.json of the folder.
    """
    from modelyard_cli.demo_own.command import run_demo_own

    run_demo_own(only or (), data_dir, keep=keep, output=output)
