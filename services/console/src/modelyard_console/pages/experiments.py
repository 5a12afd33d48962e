"""`/experiments`: experiments, their runs with parameters and metrics, runs side by side, one run with its files."""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from modelyard import RegistryClient
from modelyard.records import RunDetail
from modelyard_console.domain import experiments as domain
from modelyard_console.domain import links
from modelyard_console.pages.view import Console, View
from modelyard_runtime.errors import Invalid, NotFound

KIND: Final = "experiment"
PAGE: Final = 100
MAX_COMPARED: Final = 6
MAX_CHARTS: Final = 12
Folder = Annotated[str, Query(max_length=500)]
Chosen = Annotated[list[str] | None, Query(max_length=MAX_COMPARED)]


def add_experiments(app: FastAPI, console: Console) -> None:
    _add_list(app, console)
    _add_runs(app, console)
    _add_compare(app, console)
    _add_run(app, console)


def _add_list(app: FastAPI, console: Console) -> None:
    @app.get("/experiments", response_class=HTMLResponse)
    def experiments(
        view: Annotated[View, Depends(console.view("read", KIND))],
        q: Annotated[str, Query(max_length=200)] = "",
        after: Annotated[str | None, Query(max_length=8_000)] = None,
    ) -> Response:
        """List experiments, newest first."""
        found = view.io.registry(lambda registry: registry.experiments_page(q=q or None, after=after, limit=PAGE))
        return view.page("experiments.html", page=found.part, q=q)


def _add_runs(app: FastAPI, console: Console) -> None:
    @app.get("/experiments/{experiment_id}", response_class=HTMLResponse)
    def runs(
        experiment_id: int,
        view: Annotated[View, Depends(console.view("read", KIND))],
        filter: Annotated[str, Query(max_length=4_000)] = "",
        order_by: Annotated[str, Query(max_length=400)] = "",
        after: Annotated[str | None, Query(max_length=8_000)] = None,
    ) -> Response:
        """Show the runs of an experiment with their parameters and latest metrics."""
        asked: dict[str, Any] = {"filter": filter or None, "order_by": order_by or None, "after": after, "limit": PAGE}
        experiment = view.io.registry(lambda registry: registry.experiment(experiment_id))
        page = view.io.registry(lambda registry: registry.experiment_runs(experiment_id, **asked)).part
        metrics, params = domain.columns(page.found.items if page.found else ())
        return view.page(
            "experiment.html",
            experiment=experiment.needed(),
            page=page,
            metrics=metrics,
            params=params,
            filter=filter,
            order_by=order_by,
            kept={name: value for name, value in (("filter", filter), ("order_by", order_by)) if value},
            duration=lambda run: domain.duration_s(run, console.clock()),
            shown=domain.shown,
        )


def _add_compare(app: FastAPI, console: Console) -> None:
    @app.get("/experiments/{experiment_id}/compare", response_class=HTMLResponse)
    def compare(
        experiment_id: int, view: Annotated[View, Depends(console.view("read", KIND))], run: Chosen = None
    ) -> Response:
        """Show runs side by side, with a chart for each metric that has steps."""
        wanted = list(dict.fromkeys(run or []))
        if len(wanted) < 2:
            raise Invalid("run: choose two or more runs in the list, then compare them", field="run")
        experiment = view.io.registry(lambda registry: registry.experiment(experiment_id))
        found = [view.io.registry(partial(_run, one)) for one in wanted]
        chosen = [one.needed() for one in found]
        return view.page(
            "experiment_compare.html",
            experiment=experiment.needed(),
            runs=chosen,
            groups=domain.compare(chosen, console.clock()),
            charts=_charts(view, chosen),
        )


def _add_run(app: FastAPI, console: Console) -> None:
    @app.get("/experiments/{experiment_id}/runs/{run_id}", response_class=HTMLResponse)
    def one_run(
        experiment_id: int,
        run_id: str,
        view: Annotated[View, Depends(console.view("read", KIND))],
        folder: Folder = "",
    ) -> Response:
        """Show a run: parameters, metrics by step, tags, files, and the versions made from it."""
        experiment = view.io.registry(lambda registry: registry.experiment(experiment_id))
        files = view.io.registry(lambda registry: registry.run_artifacts(run_id, folder))
        run = view.io.registry(partial(_run, run_id)).needed()
        if run.experiment_id != experiment_id:
            raise NotFound(f"the experiment {experiment_id} has no run {run_id[:40]!r}")
        return view.page(
            "experiment_run.html",
            experiment=experiment.needed(),
            run=run,
            duration=domain.duration_s(run, console.clock()),
            tags=domain.own_tags(run),
            shown=domain.shown,
            training_id=domain.training_id(run),
            charts=_charts(view, [run]),
            files=files.part,
            folder=folder,
            above=domain.parents(folder),
            file_name=domain.file_name,
        )

    @app.get("/experiments/{experiment_id}/runs/{run_id}/files/{path:path}")
    def download(
        experiment_id: int, run_id: str, path: str, view: Annotated[View, Depends(console.view("read", KIND))]
    ) -> Response:
        """Save a file of a run. A browser never shows it as a page of the console."""
        pieces = view.io.registry.client.run_artifact(run_id, path)
        headers = {"content-disposition": "attachment"}
        return StreamingResponse(_started(pieces), headers=headers, media_type="application/octet-stream")


def _started(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Read the first piece, so that a refusal becomes an error page and not a broken download."""
    return chain([next(pieces, b"")], pieces)


def _run(run_id: str, registry: RegistryClient) -> RunDetail:
    return registry.experiment_run(links.part(run_id))


def _charts(view: View, runs: list[RunDetail]) -> list[Any]:
    """A chart for each metric of which a run has more than its first step."""
    names = sorted({name for run in runs for name, one in run.metrics.items() if one.step > 0})[:MAX_CHARTS]
    asked = {
        (name, run.id): view.io.registry(partial(_history, run.id, name))
        for name in names
        for run in runs
        if name in run.metrics
    }
    found = {place: pending.part.or_else(()) for place, pending in asked.items()}
    charts = []
    for name in names:
        lines = [(run.name, found[name, run.id]) for run in runs if (name, run.id) in found]
        charts.append(domain.metric_chart(name, lines))
    return [chart for chart in charts if len(chart.x) > 1]


def _history(run_id: str, name: str, registry: RegistryClient) -> Any:
    return registry.metric_history(run_id, name)
