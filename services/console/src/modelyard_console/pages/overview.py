"""`/`: what runs, what is wrong, and what waits for a person."""

from datetime import timedelta
from typing import Annotated, Final

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from modelyard_console.pages.view import Console, View

WINDOW: Final = timedelta(hours=1)
ROWS: Final = 50


def add_overview(app: FastAPI, console: Console) -> None:
    @app.get("/", response_class=HTMLResponse)
    def overview(view: Annotated[View, Depends(console.view("read", "model"))]) -> Response:
        """Show the platform at a glance."""
        io, since = view.io, console.clock() - WINDOW
        models = io.registry(lambda registry: registry.model_facets(only=["workspace"]))
        traffic = io.monitor(lambda monitor: monitor.traffic(since=since, limit=ROWS))
        alerts = io.monitor(lambda monitor: monitor.alerts(limit=10))
        rollouts = io.deployer(lambda deployer: deployer.rollouts(unfinished=True, limit=50))
        waiting = io.registry(lambda registry: registry.versions_at("evaluated", limit=20))
        runs = io.trainer(lambda trainer: trainer.runs(limit=100))
        return view.page(
            "overview.html",
            models=models.part,
            traffic=traffic.part,
            alerts=alerts.part,
            rollouts=rollouts.part,
            waiting=waiting.part,
            runs=runs.part,
        )
