"""`/value`: what the loop is worth, live for every model, and in reports of demos and backtests."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from modelyard import ApiError, LoopWay, MembersOverTime, PublishedReport, TrafficOverTime
from modelyard_console.clients.platform import Part, explained
from modelyard_console.domain import links
from modelyard_console.domain.loop_reports import best_of, curves_of, gain_of
from modelyard_console.domain.switching import usable
from modelyard_console.domain.value import beside_first, quality_beside_first, values_of
from modelyard_console.pages.view import Console, Form, View
from modelyard_console.pages.windows import CHOICES, start_of

KEPT: Final = timedelta(days=400)
"""Predictions are kept this long."""
POINTS: Final = 288
"""Intervals of a chart."""
REPORTS: Final = 50
WINDOW: Final = "7d"
MIN_BUCKET_S: Final = 60
ROWS: Final = 100
"""Models in the table, the busiest ones."""
RUNS: Final = 500
"""Newest runs and rollouts that are counted."""


def add_value(app: FastAPI, console: Console) -> None:
    _add_live(app, console)
    _add_reports(app, console)


def _add_live(app: FastAPI, console: Console) -> None:
    @app.get("/value", response_class=HTMLResponse)
    def value(
        view: Annotated[View, Depends(console.view("read", "model"))],
        window: Annotated[str, Query(max_length=8)] = WINDOW,
        model: Annotated[str, Query(max_length=256)] = "",
    ) -> Response:
        """Show answers beside version 1, trainings and cost, of all models and of one."""
        return _value_page(view, window, model)


def _value_page(view: View, window: str, model: str, problem: str = "") -> Response:
    """problem: why a report was not published."""
    now = view.console.clock()
    since = start_of(window, now) or now - KEPT
    reports = view.io.evaluator(lambda evaluator: evaluator.loop_reports(model or None, limit=REPORTS))
    chosen = _one(view, model, since, now) if model else {}
    found = {**_all(view, since), **chosen, "reports": _listed(reports.part), "problem": problem}
    return view.page("value.html", 422 if problem else 200, **found, model=model, window=window, windows=CHOICES)


def _add_reports(app: FastAPI, console: Console) -> None:
    @app.get("/value/reports/{report_id}", response_class=HTMLResponse)
    def report(report_id: str, view: Annotated[View, Depends(console.view("read", "evaluation"))]) -> Response:
        """Show one report: curves, figures, and the metric by eighth of the stream."""
        found = view.io.evaluator(lambda evaluator: evaluator.loop_report(report_id)).needed()
        gains = {way.name: gain_of(way, found.report) for way in found.report.ways}
        count = max(len(way.parts) for way in found.report.ways)
        head = [("way to work", ""), *((str(place), "num") for place in range(1, count + 1))]
        shown = {"report": found.report, "gains": gains, "chart": curves_of(found.report), "count": count, "head": head}
        shown["usable"] = [way.name for way in usable(found.report)]
        return view.page("loop_report.html", found=found, **shown)

    @app.post("/value/reports", response_class=HTMLResponse)
    async def publish(form: Annotated[Form, Depends(console.form("start", "evaluation", "any-workspace"))]) -> Response:
        """Publish an uploaded report.json. A browser does not keep a file, so a refusal shows the form again."""
        document = _document(await form.files["file"].read() if "file" in form.files else b"")
        return await asyncio.to_thread(_publish, form, document)


def _publish(form: Form, document: dict[str, Any] | None) -> Response:
    model, problem = form.text("model"), ""
    if document is None:
        problem = "file: choose the report.json that `modelyard backtest` or `modelyard demo` wrote."
    else:
        try:
            found = form.view.io.evaluator.client.publish_report(model, document)
            return form.finish("The report is published.", links.report(found.report_id))
        except ApiError as error:
            problem = explained(error)["detail"]
    return _value_page(form.view, WINDOW, model, problem)


def _listed(part: Part[tuple[PublishedReport, ...]]) -> Part[list[tuple[PublishedReport, LoopWay, float | None]]]:
    """Reports, each with the best way of the platform and its gain."""
    if part.found is None:
        return Part(away=part.away)
    best = [(one, best_of(one.report)) for one in part.found]
    return Part(found=[(one, way, gain_of(way, one.report)) for one, way in best])


def _document(content: bytes) -> dict[str, Any] | None:
    """The JSON object of a file; None for anything else."""
    try:
        found = json.loads(content)
    except ValueError:  # UnicodeDecodeError too
        return None
    return found if isinstance(found, dict) else None


def _all(view: View, since: datetime) -> dict[str, Any]:
    io = view.io
    traffic = io.monitor(lambda monitor: monitor.traffic(since=since, limit=ROWS))
    runs = io.trainer(lambda trainer: trainer.runs(limit=RUNS))
    rollouts = io.deployer(lambda deployer: deployer.rollouts(limit=RUNS))
    lists = traffic.part.or_else(()), runs.part.or_else(()), rollouts.part.or_else(())
    away = [part for part in (traffic.part, runs.part, rollouts.part) if part.away]
    full = max(len(lists[1]), len(lists[2])) >= RUNS
    values = values_of(*lists, since)
    return {"values": values[:ROWS], "more": len(values) > ROWS, "away": away, "full": full, "counted": RUNS}


def _one(view: View, model: str, since: datetime, now: datetime) -> dict[str, Any]:
    io, bucket_s = view.io, max(MIN_BUCKET_S, int((now - since).total_seconds() / POINTS))
    traffic = io.monitor(lambda monitor: monitor.traffic_over_time(model, since=since, bucket_s=bucket_s))
    members = io.monitor(lambda monitor: monitor.members_over_time(model, since=since, bucket_s=bucket_s))
    rollouts = io.deployer(lambda deployer: deployer.rollouts(model, limit=200))
    found = members.part.or_else(MembersOverTime(model=model, bucket_s=bucket_s))
    served = traffic.part.or_else(TrafficOverTime(model=model, bucket_s=bucket_s, items=()))
    chart = quality_beside_first(served, found, rollouts.part.or_else(()))
    return {"chart": chart, "beside": beside_first(found), "traffic": traffic.part, "members": members.part}
