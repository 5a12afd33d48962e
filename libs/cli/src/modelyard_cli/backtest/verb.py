"""modelyard backtest: its options; the rest is loaded when it runs."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard_cli.output import Form, FormOption, reports_errors
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR
from modelyard_cli.train import choices_of
from modelyard_cli.verbs.options import ColumnTypes, Decimal, Encoding, Separator, TargetColumn, TaskName, TimeColumn

ELEC2_DELAY_ROWS = 240
"""Five days of half-hours, as in the demo."""


@reports_errors
def backtest(
    data: Annotated[Path | None, typer.Option(help="A CSV or Parquet file in order of time; Elec2 without it.")] = None,
    policy: Annotated[
        list[Path] | None, typer.Option(help="YAML file with gate, retrain and rollout; may be given several times.")
    ] = None,
    label_delay: Annotated[
        str | None, typer.Option(help="How long after a row its label is known, such as 30d; needs a time column.")
    ] = None,
    label_delay_rows: Annotated[int | None, typer.Option(min=0, help="The same in rows.")] = None,
    report: Annotated[Path, typer.Option(help="Folder of the report, the stack and the progress.")] = DEFAULT_DATA_DIR
    / "backtest",
    task: TaskName = None,
    target: TargetColumn = None,
    time: TimeColumn = None,
    column: ColumnTypes = None,
    separator: Separator = ",",
    decimal: Decimal = ".",
    encoding: Encoding = "utf-8",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running afterwards.")] = False,
    output: FormOption = Form.TABLE,
) -> None:
    """Run policies on past data, on the real platform, and compare them with what a team would do without it.

    Stopped by Ctrl-C, the same command goes on where it was.
    """
    from modelyard_cli.backtest.command import run_backtest
    from modelyard_cli.backtest.policies import Policies, duration_s
    from modelyard_cli.backtest.timing import timing
    from modelyard_cli.demo.data import TRAIN_SHARE, load

    if label_delay is not None and label_delay_rows is not None:
        raise typer.BadParameter("give --label-delay or --label-delay-rows", param_hint="--label-delay")
    try:
        delay_s = None if label_delay is None else duration_s(label_delay)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--label-delay") from error
    policies = [Policies.read(path) for path in policy or ()]
    if len({one.name for one in policies}) < len(policies):
        raise typer.BadParameter("two files have the same name; rename one", param_hint="--policy")
    if data is None and delay_s is None and label_delay_rows is None:
        label_delay_rows = ELEC2_DELAY_ROWS
    choices = choices_of(target, time, task, column, separator, decimal, encoding)
    stream = load(data, report.parent / "cache", choices)
    when = timing(stream, int(stream.rows * TRAIN_SHARE), delay_s=delay_s, delay_rows=label_delay_rows)
    run_backtest(stream, policies or [Policies.usual(when.row_s)], when, report, keep=keep, output=output)
