"""`/evaluations`: verdicts with their numbers, and a form that requests one."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from modelyard import ApiError
from modelyard_console.clients.platform import explained
from modelyard_console.domain import links
from modelyard_console.domain.comparison import scale_of
from modelyard_console.domain.evaluations import class_rows, columns_of, ends_of, metric_rows
from modelyard_console.pages.view import Console, Form, View
from modelyard_runtime.errors import Invalid

PAGE: Final = 50
MOST: Final = 1_000
ROWS: Final = 50
MAX_VERSION: Final = 2**31 - 1
Only = Literal["challenger_right", "champion_right"]
FIELDS: Final = {"challenger_version": "challenger", "champion_version": "champion"}
"""Field of the API to field of the form."""


def add_evaluations(app: FastAPI, console: Console) -> None:
    _add_list(app, console)
    _add_start(app, console)
    _add_one(app, console)


def _add_list(app: FastAPI, console: Console) -> None:
    @app.get("/evaluations", response_class=HTMLResponse)
    def evaluations(
        view: Annotated[View, Depends(console.view("read", "evaluation"))],
        model: Annotated[str, Query(max_length=192)] = "",
        limit: Annotated[int, Query(ge=1, le=MOST)] = PAGE,
    ) -> Response:
        """List evaluations, newest first."""
        found = view.io.evaluator(lambda evaluator: evaluator.evaluations(model or None, limit=limit))
        shown = found.part.or_else(())
        return view.page(
            "evaluations.html",
            evaluations=found.part,
            model=model,
            scale=scale_of(ends_of(shown)),
            more=min(MOST, 4 * limit) if len(shown) == limit < MOST else None,
        )


def _add_one(app: FastAPI, console: Console) -> None:
    @app.get("/evaluations/{evaluation_id}", response_class=HTMLResponse)
    def one_evaluation(
        evaluation_id: str,
        view: Annotated[View, Depends(console.view("read", "evaluation"))],
        only: Only = "champion_right",
    ) -> Response:
        """Show an evaluation: verdict, comparison, classes, metrics, rows on which only one version is right."""
        found = view.io.evaluator(lambda evaluator: evaluator.evaluation(links.part(evaluation_id)))
        rows = view.io.evaluator(
            lambda evaluator: evaluator.disagreements(links.part(evaluation_id), only=only, limit=ROWS)
        )
        evaluation = found.needed()
        report = evaluation.report
        return view.page(
            "evaluation.html",
            evaluation=evaluation,
            report=report,
            scale=scale_of(ends_of([evaluation])),
            metrics=metric_rows(report) if report else [],
            classes=class_rows(report) if report else [],
            rows=rows.part,
            columns=columns_of(rows.part.or_else(())),
            only=only,
        )


def _add_start(app: FastAPI, console: Console) -> None:
    @app.get("/evaluations/new", response_class=HTMLResponse)
    def new_evaluation(
        view: Annotated[View, Depends(console.view("start", "evaluation"))],
        model: Annotated[str, Query(max_length=192)] = "",
        challenger: Annotated[str, Query(max_length=20)] = "",
        champion: Annotated[str, Query(max_length=20)] = "",
    ) -> Response:
        """Ask which versions to compare."""
        return _form(view, {"model": model, "challenger": challenger, "champion": champion})

    @app.post("/evaluations", response_class=HTMLResponse)
    def start(form: Annotated[Form, Depends(console.form("start", "evaluation", "any-workspace"))]) -> Response:
        """Request an evaluation."""
        try:
            asked = _asked(form)
            started = form.view.io.evaluator.client.evaluate(**asked)
        except Invalid as error:
            return _form(form.view, form.values, {error.field or "": str(error)}, 422)
        except ApiError as error:
            problem = explained(error)
            field = str(problem["field"] or "")
            return _form(form.view, form.values, {FIELDS.get(field, field): problem["detail"]}, error.status or 503)
        return form.finish(f"The evaluation of {started.model} was requested.", links.evaluation(started.evaluation_id))


def _asked(form: Form) -> dict[str, Any]:
    """Arguments of the request; Invalid names a field of the form."""
    model, challenger = form.required("model", "Model"), _number(form, "challenger")
    if challenger is None:
        raise Invalid("Challenger: choose a version", field="challenger")
    return {
        "model": model,
        "challenger_version": challenger,
        "champion_version": _number(form, "champion"),
        "reason": form.required("reason", "Reason"),
    }


def _number(form: Form, name: str) -> int | None:
    text = form.text(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_VERSION):
        raise Invalid(f"{name.capitalize()}: give the number of a version", field=name)
    return int(text)


def _form(
    view: View, values: Mapping[str, str], errors: Mapping[str, str] | None = None, status: int = 200
) -> Response:
    """The form. Without a model it asks for the model first."""
    model = values.get("model", "").strip()
    models = view.io.registry(lambda registry: registry.search_models(sort="newest", limit=200))
    versions = view.io.registry(lambda registry: registry.versions(model)) if model else None
    info = view.io.registry(lambda registry: registry.model(model)) if model else None
    return view.page(
        "evaluation_new.html",
        status,
        models=models.part,
        versions=versions.part if versions else None,
        info=info.part if info else None,
        values=values,
        errors=errors or {},
    )
