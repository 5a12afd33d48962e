"""The report of a backtest: as data, as a table, as a page."""

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

from modelyard_cli.demo.drawing import chart, document, table
from modelyard_cli.output import Listing, rows
from modelyard_cli.stack.layout import StackError

COLUMNS: Final = (
    "way to work",
    "metric",
    "scheduled as often",
    "trainings",
    "cost USD",
    "alarms",
    "roll-backs",
    "days below frozen",
)
DAY_S: Final = 86_400
MOST_LINES: Final = 6
"""Lines that have a colour of their own in the style sheet."""
BASELINES: Final = {
    "frozen": "version 1 frozen",
    "scheduled": "scheduled retraining",
    "scheduled_every": "retraining every 1,000 rows",
    "online": "online forest",
    "oracle": "best version in hindsight",
}
Report = dict[str, Any]


def read_report(file: Path) -> Report:
    """Read a report of a backtest or a demo; StackError if it is none."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StackError(f"{file}: cannot be read as a report: {error}") from error
    if not isinstance(found, dict):
        raise StackError(f"{file}: is no report; give the report.json of a backtest or a demo")
    return found


def as_table(report: Report) -> Listing:
    """For the terminal."""
    return rows(f"{report['metric']} over {report['rows']:,} rows", COLUMNS, list(_lines(report)))


def _ways(report: Report) -> list[tuple[str, dict[str, Any]]]:
    """Title and figures of each way to work: the policies, then the baselines."""
    found = [(f"policy {one['name']}", one) for one in report["policies"]]
    return found + [(BASELINES[name], one) for name, one in report["baselines"].items()]


def _lines(report: Report) -> Iterator[dict[str, str]]:
    for place, (title, one) in enumerate(_ways(report)):
        platform = (f"{one['train_cost_usd']:.4f}", str(one["alarms"]), str(one["rollbacks"]))
        cost, alarms, rollbacks = platform if place < len(report["policies"]) else ("-", "-", "-")
        below = f"{one['seconds_below_frozen'] / DAY_S:,.1f}"
        overall, blind = f"{one['metric_overall']:.4f}", as_often(one)
        values = (title, overall, blind, str(one["trainings"]), cost, alarms, rollbacks, below)
        yield dict(zip(COLUMNS, values, strict=True))


def as_often(way: dict[str, Any]) -> str:
    """Metric of blind retraining with as many trainings as a policy, for people."""
    found = way.get("scheduled_as_often")  # reports of before have none
    return "-" if found is None else f"{found:.4f}"


def _notes(report: Report) -> str:
    about_data = "; ".join(report["data_notes"])
    return f"{report['note']} About the data: {about_data}." if about_data else str(report["note"])


def page(report: Report) -> str:
    """Return the whole document."""
    curves = report["curve"]
    count = len(report["policies"])
    title = f"Backtest of {report['name']}: {count} {'policy' if count == 1 else 'policies'}"
    legend = " &#160; ".join(
        f'<span class="line-{min(place, MOST_LINES - 1)}">&#9632; {escape(BASELINES.get(name, name))}</span>'
        for place, name in enumerate(curves)
    )
    drawn = {  # the first class is unique, so that no line replaces another one
        f"way-{place} line-{min(place, MOST_LINES - 1)}": curve for place, curve in enumerate(curves.values())
    }
    lines = [tuple(line.values()) for line in _lines(report)]
    parts = [(title, *(f"{value:.3f}" for value in one["metric"])) for title, one in _ways(report)]
    body = (
        f"<h1>{escape(title)}</h1><p>{escape(_notes(report))}</p>{table(COLUMNS, lines)}"
        f"<h2>{escape(report['metric'].capitalize())} over the stream</h2>"
        f"<p>{legend} &#160; mean over the 500 rows before</p>{chart(drawn, report['rows'])}"
        f"<h2>By eighth of the stream</h2>{table(('way to work', *map(str, range(1, 9))), parts)}"
    )
    return document(title, body)
