"""modelyard backtest: its options; the rest is loaded when it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelyard_cli.output import Form, FormOption, reports_errors
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR
from modelyard_cli.train import choices_of
from modelyard_cli.verbs.options import ColumnTypes, Decimal, Encoding, Separator, TargetColumn, TaskName, TimeColumn

if TYPE_CHECKING:
    from modelyard_cli.backtest.named import NewPolicies

CACHE = DEFAULT_DATA_DIR / "cache"


@reports_errors
def backtest(
    data: Annotated[Path | None, typer.Option(help="A CSV or Parquet file with a time column, or in order.")] = None,
    model: Annotated[str | None, typer.Option(help="Replay the stored rows of this model.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Rows of --model from this time on (UTC).")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Rows of --model before this time (UTC).")] = None,
    data_dir: Annotated[Path, typer.Option(help="The folder of the stack that stores them.")] = DEFAULT_DATA_DIR,
    stream: Annotated[
        list[str] | None, typer.Option(help="A known stream; may be given several times. Elec2 without any source.")
    ] = None,
    suite: Annotated[bool, typer.Option("--suite", help="All known streams.")] = False,
    list_streams: Annotated[bool, typer.Option("--list-streams", help="List the known streams and exit.")] = False,
    rows: Annotated[int | None, typer.Option(min=1, help="Rows of each known stream.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of generated streams.")] = 1,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="canary, adaptive, learners or learners-on-schedule, or a YAML file with gate, retrain and rollout; "
            "may be given several times. Without it: adaptive."
        ),
    ] = None,
    label_delay: Annotated[
        str | None,
        typer.Option(help="How long after a row its label is known, such as 30d; without it, as stored with --model."),
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
    from modelyard_cli.backtest import runs
    from modelyard_cli.backtest.source import LogSource
    from modelyard_cli.demo.data import load

    if list_streams:
        runs.list_streams(output)
        return
    _check_source(data, model, stream, suite=suite, bounds=since or until, rows=rows)
    given = runs.Given(_policies(policy or []), *_delay(label_delay, label_delay_rows), report, keep, output)
    if data is not None:
        choices = choices_of(target, time, task, column, separator, decimal, encoding)
        given.on(load(data, CACHE, choices))
    elif model is not None:
        given.on_log(LogSource(model, since, until, data_dir))
    else:
        given.on_streams(stream or [], rows, seed, CACHE, suite=suite)


def _check_source(
    data: Path | None,
    model: str | None,
    streams: list[str] | None,
    *,
    suite: bool,
    bounds: str | None,
    rows: int | None,
) -> None:
    given = [
        name for name, it in {"--data": data, "--model": model, "--stream": streams, "--suite": suite}.items() if it
    ]
    if len(given) > 1:
        raise typer.BadParameter("the rows come from one of them", param_hint=", ".join(given))
    if bounds and model is None:
        raise typer.BadParameter("needs --model; other rows are replayed as a whole", param_hint="--from, --to")
    if rows is not None and (data or model):
        raise typer.BadParameter(
            "is for --stream and --suite; shorten a file, or use --from and --to", param_hint="--rows"
        )


def _policies(given: list[str]) -> list["NewPolicies"]:
    """Names of policies or files of them. BadParameter for two of one name, StackError for an unknown one."""
    from modelyard_cli.backtest.named import policies_of

    found = {text: policies_of(text) for text in given}
    if len({name for name, _ in found.values()}) < len(given):
        raise typer.BadParameter("two have the same name; rename one file", param_hint="--policy")
    return [new for _, new in found.values()]


def _delay(duration: str | None, rows: int | None) -> tuple[float | None, int | None]:
    from modelyard_contracts.durations import duration_s

    if duration is not None and rows is not None:
        raise typer.BadParameter("give --label-delay or --label-delay-rows", param_hint="--label-delay")
    try:
        return None if duration is None else duration_s(duration), rows
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--label-delay") from error
