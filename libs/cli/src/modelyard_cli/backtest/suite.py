"""The same policies on several known streams, and one table of all results."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.text import Text

from modelyard_cli.backtest.report import BASELINES, Report, as_often
from modelyard_cli.output import Form, Listing, complaints, console, rows, show
from modelyard_cli.stack.layout import StackError

FILE: Final = "suite.json"
Run = Callable[[str, Path], Report]
"""(stream name, folder) -> its report, at once if it was finished before."""


def run_suite(names: Sequence[str], folder: Path, run: Run, *, output: Form) -> None:
    """Run each stream in a folder of its own and print the table; one that was stopped goes on at its stream.

    A stream that cannot be run does not stop the others: StackError names such streams after the table.
    """
    reports: list[Report] = []
    failed: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for place, name in enumerate(names, start=1):
        complaints.print(f"stream {place} of {len(names)}: {name}", soft_wrap=True)
        try:
            reports.append(run(name, folder / name))
        except StackError as error:
            failed[name] = str(error)
            complaints.print(f"{name}: {error}", soft_wrap=True)
        (folder / FILE).write_text(json.dumps({"streams": reports, "failed": failed}, indent=2))
    if reports:
        _print(reports, failed, folder, output)
    if failed:
        raise StackError(f"without a report: {', '.join(failed)}; the reasons are above and in {folder / FILE}")


def _print(reports: Sequence[Report], failed: Mapping[str, str], folder: Path, output: Form) -> None:
    show(output, {"streams": reports, "failed": failed}, lambda: suite_table(reports))
    if output is Form.TABLE:
        console.print(Text(f"data: {folder / FILE}; pages: {folder}/STREAM/report.html"), soft_wrap=True)


def suite_table(reports: Iterable[Report]) -> Listing:
    """One line per stream: each policy with its trainings beside blind retraining as often, then the baselines."""
    lines = [dict(_line(report)) for report in reports]
    return rows("policies by streams", tuple(lines[0]), lines)


def _line(report: Report) -> Iterator[tuple[str, Any]]:
    yield "stream", report["name"]
    yield "metric", "error" if report["task"] == "regression" else report["metric"]
    for one in report["policies"]:
        yield one["name"], f"{one['metric_overall']:.4f} ({one['trainings']})"
        yield f"scheduled as {one['name']}", as_often(one)
    for name in (one for one in BASELINES if one != "scheduled"):
        yield name.replace("_", " "), f"{report['baselines'][name]['metric_overall']:.4f}"
