"""`/training`: runs with progress, one run with its log, runs side by side, and retraining on live rows."""

from functools import partial
from typing import Annotated, Final, Literal

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from modelyard import TrainerClient, TrainingRun
from modelyard_console.domain import links
from modelyard_console.domain.training import (
    CANCELLABLE,
    VIEWS,
    candidates,
    compare_runs,
    duration_s,
    metric_groups,
)
from modelyard_console.pages.view import Console, Form, View
from modelyard_runtime.errors import Invalid

PAGE: Final = 50
MAX_COMPARED: Final = 6
Shown = Literal["runs", "running", "succeeded", "failed", "refused"]


def add_training(app: FastAPI, console: Console) -> None:
    _add_list(app, console)
    _add_compare(app, console)
    _add_run(app, console)


def _add_list(app: FastAPI, console: Console) -> None:
    @app.get("/training", response_class=HTMLResponse)
    def runs(
        view: Annotated[View, Depends(console.view("read", "run"))],
        model: Annotated[str, Query(max_length=192)] = "",
        state: Shown = "runs",
        after: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        """List runs, newest first."""
        states = [one.value for one in VIEWS[state]]
        page = view.io.trainer(lambda trainer: trainer.run_page(model or None, states=states, limit=PAGE, after=after))
        return view.page(
            "training.html",
            page=page.part,
            model=model,
            state=state,
            states=tuple(VIEWS),
            kept={name: value for name, value in (("model", model), ("state", state)) if value},
            duration=lambda run: duration_s(run, console.clock()),
        )


def _add_compare(app: FastAPI, console: Console) -> None:
    @app.get("/training/compare", response_class=HTMLResponse)
    def compare(
        view: Annotated[View, Depends(console.view("read", "run"))],
        run: Annotated[list[str] | None, Query(max_length=MAX_COMPARED)] = None,
    ) -> Response:
        """Show runs side by side."""
        wanted = list(dict.fromkeys(run or []))
        if len(wanted) < 2:
            raise Invalid("run: choose two or more runs in the list, then compare them", field="run")
        found = [view.io.trainer(partial(_run, run_id)) for run_id in wanted]
        chosen = [one.needed() for one in found]
        groups = compare_runs(chosen, console.clock())
        return view.page("training_compare.html", runs=chosen, groups=groups)


def _run(run_id: str, trainer: TrainerClient) -> TrainingRun:
    return trainer.run(links.part(run_id))


def _add_run(app: FastAPI, console: Console) -> None:
    @app.get("/training/{run_id}", response_class=HTMLResponse)
    def one_run(run_id: str, view: Annotated[View, Depends(console.view("read", "run"))]) -> Response:
        """Show a run: state, progress, log, metrics, candidates, data, and what it led to."""
        run = view.io.trainer(partial(_run, run_id)).needed()
        evaluations = view.io.evaluator(lambda evaluator: evaluator.evaluations(run.model, limit=200))
        published = view.io.deployer(lambda deployer: deployer.route(run.model))
        route = published.part.found
        judged = [one for one in evaluations.part.or_else(()) if one.challenger_version == run.version]
        return view.page(
            "training_run.html",
            run=run,
            cancellable=run.state in CANCELLABLE and not run.cancel_requested,
            candidates=candidates(run),
            groups=metric_groups(run),
            duration=duration_s(run, console.clock()),
            evaluations=evaluations.part,
            judged=judged,
            answers=route if route and route.plan else None,
        )

    @app.post("/training/{run_id}/cancel", response_class=HTMLResponse)
    def cancel(run_id: str, form: Annotated[Form, Depends(console.form("cancel", "run", "any-workspace"))]) -> Response:
        """Cancel a run, with a reason that stays with it."""
        reason = form.required("reason", "Reason")
        return form.do(
            lambda io: io.trainer.client.cancel_run(links.part(run_id), reason=reason),
            done="The run is being cancelled.",
            then=links.run(run_id),
        )
