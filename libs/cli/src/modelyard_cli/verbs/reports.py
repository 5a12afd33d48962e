"""modelyard reports: publish the report of a backtest or a demo, to be seen in the console."""

from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard import PublishedReport
from modelyard_cli.backtest.report import read_report
from modelyard_cli.context import Platform
from modelyard_cli.output import Form, FormOption, reports_errors, rows, show
from modelyard_cli.stack.commands import DataDir
from modelyard_cli.stack.layout import DEFAULT_DATA_DIR, StackError

app = typer.Typer(help="Publish and list reports of backtests and demos.", no_args_is_help=True)
COLUMNS = ("created_at", "model", "kind", "metric", "best", "value", "report_id")


@app.command("publish")
@reports_errors
def publish(
    file: Annotated[Path, typer.Argument(help="report.json of `modelyard backtest` or `modelyard demo`.")],
    model: Annotated[
        str | None, typer.Option(help="Model that it is about; without it, the name in the report.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """Publish a report to the platform. The same report of the same model is stored once."""
    report = read_report(file)
    about = model or report.get("model") or report.get("name")
    if not isinstance(about, str):
        raise StackError(f"{file}: has no name; give the model with --model")
    found = Platform.find(data_dir).evaluator.publish_report(about, report)
    show(
        output, found.model_dump(mode="json"), lambda: f"published {found.report_id}: /value/reports/{found.report_id}"
    )


@app.command("list")
@reports_errors
def list_reports(
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    output: FormOption = Form.TABLE,
) -> None:
    """List published reports, newest first."""
    found = Platform.find(data_dir).evaluator.loop_reports(model)
    items = [one.model_dump(mode="json") for one in found]
    show(output, items, lambda: rows("published reports", COLUMNS, [_line(one) for one in found]))


def _line(one: PublishedReport) -> dict[str, Any]:
    ways = [way for way in one.report.ways if way.is_platform] or list(one.report.ways)
    best = min(ways, key=lambda way: way.overall if one.report.lower_is_better else -way.overall)
    shown = {"created_at": one.created_at, "model": one.model, "kind": one.report.kind, "metric": one.report.metric}
    return {**shown, "best": best.title, "value": best.overall, "report_id": one.report_id}
