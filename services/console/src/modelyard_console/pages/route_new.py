"""`/routes-new`: a new route, by a form for each common plan or as JSON."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from modelyard import ApiError
from modelyard_console.clients.platform import explained
from modelyard_console.domain import links
from modelyard_console.domain.route_forms import NEEDED, PLACES, PLANS, TITLES, UNITS, Planned, planned
from modelyard_console.domain.specifications import Written, read_specification, shown
from modelyard_console.pages.flash import with_flash
from modelyard_console.pages.view import Console, Form, View
from modelyard_runtime.errors import NotFound

START: Final = {"schema_version": 1, "root": {"kind": "model", "model": "MODEL"}}
"""Specification in the form of a new route."""
MODELS: Final = 200
"""Names that the form proposes."""


def add_route_new(app: FastAPI, console: Console) -> None:
    @app.get("/routes-new", response_class=HTMLResponse)
    def new(
        view: Annotated[View, Depends(console.view("create", "route"))],
        plan: Annotated[str, Query(max_length=20)] = "version",
        model: Annotated[str, Query(max_length=200)] = "",
    ) -> Response:
        """A form for a new route. model: of the first target."""
        return _page(view, _known(plan), {"model-1": model}, {}, written=Written(shown(START)))

    @app.post("/routes-new", response_class=HTMLResponse)
    def create(form: Annotated[Form, Depends(console.form("create", "route", over="any-workspace"))]) -> Response:
        """Create a route; errors are shown in the form."""
        return _of_json(form) if _known(form.text("plan", "json")) == "json" else _of_form(form)


def _known(plan: str) -> str:
    if plan not in TITLES:
        raise NotFound(f"plan: there is no plan {plan!r}; there are {', '.join(TITLES)}", field="plan")
    return plan


def _of_form(form: Form) -> Response:
    plan = form.text("plan")
    found = planned(plan, form.values)
    if found.document is not None and "as_json" in form.values:
        return _page(form.view, "json", form.values, {}, written=Written(shown(found.document)))
    problems = {**_name_problem(form), **found.errors}
    written = Written("") if found.document is None else read_specification(shown(found.document))
    if not problems:
        problems = _at_fields(found, written.problems)
    if problems or written.document is None:
        return _page(form.view, plan, form.values, problems, 422)
    try:
        form.view.io.deployer.client.set_route(form.text("name"), written.document)
    except ApiError as error:
        problem = explained(error)
        at = _at_fields(found, ((str(problem["field"] or ""), str(problem["detail"])),))
        return _page(form.view, plan, form.values, at, error.status or 503)
    return saved(form.text("name"))


def _at_fields(found: Planned, problems: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Problems of the specification at the fields that it was made of."""
    at = {found.field_of(path) or ("name" if path == "route" else ""): text for path, text in problems}
    return {field: text for field, text in at.items() if text}


def _of_json(form: Form) -> Response:
    written = read_specification(form.values.get("spec", ""))
    problems = _name_problem(form)
    if problems or written.document is None:
        return _page(form.view, "json", form.values, problems, 422, written)
    try:
        form.view.io.deployer.client.set_route(form.text("name"), written.document)
    except ApiError as error:
        problem = explained(error)
        refused = Written(written.text, ((str(problem["field"] or ""), str(problem["detail"])),))
        return _page(form.view, "json", form.values, {}, error.status or 503, refused)
    return saved(form.text("name"))


def _name_problem(form: Form) -> dict[str, str]:
    if not (name := form.text("name")):
        return {"name": "give a name"}
    try:
        form.view.io.deployer.client.route(name)
    except ApiError as error:
        if error.status == 404:
            return {}
        raise
    return {"name": "a route of this name exists; open it to change it"}


def _page(
    view: View,
    plan: str,
    values: Mapping[str, str],
    errors: Mapping[str, str],
    status: int = 200,
    written: Written | None = None,
) -> Response:
    context: dict[str, Any] = {"plan": plan, "plans": PLANS, "values": values, "errors": errors, "units": UNITS}
    if plan != "json":
        models = view.io.registry(lambda registry: registry.search_models(sort="newest", limit=MODELS))
        context |= {"models": models.part, "places": range(1, PLACES[plan] + 1), "needed": NEEDED[plan]}
    return view.page("route_new.html", status, written=written, **context)


def saved(name: str) -> Response:
    """Go to the page of a route that was stored."""
    done = f"Route {name} is saved. Routers get it once every version that it names has a ready replica."
    return with_flash(RedirectResponse(links.route(name), 303), done)
