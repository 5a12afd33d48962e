"""`/routes`: the plan of each route as a picture, the routers that applied it, and the specification as JSON."""

import json
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from modelyard import ApiError, PublishedRoute
from modelyard_console.clients.platform import explained
from modelyard_console.domain.plan_picture import draw
from modelyard_console.domain.plan_tree import plan_summary, read_plan
from modelyard_console.domain.specifications import Written, digest_of_spec, read_specification, shown
from modelyard_console.pages.route_new import add_route_new, saved
from modelyard_console.pages.trying import add_trying
from modelyard_console.pages.view import Console, Form, View


def add_routes(app: FastAPI, console: Console) -> None:
    _add_list(app, console)
    add_route_new(app, console)
    add_trying(app, console)
    _add_editing(app, console)
    _add_route(app, console)


def _add_list(app: FastAPI, console: Console) -> None:
    @app.get("/routes", response_class=HTMLResponse)
    def routes(view: Annotated[View, Depends(console.view("read", "route"))]) -> Response:
        """List the routes with their plans in one line."""
        found = view.io.deployer(lambda deployer: deployer.routes())
        summaries = {route.route: plan_summary(read_plan(_root(route))) for route in found.part.or_else(())}
        return view.page("routes.html", routes=found.part, summaries=summaries)


def _add_route(app: FastAPI, console: Console) -> None:
    @app.get("/routes/{route}", response_class=HTMLResponse)
    def one_route(
        route: str, view: Annotated[View, Depends(console.view("read", "route", over="resource"))]
    ) -> Response:
        """Show the plan of a route and the routers that applied it."""
        found = view.io.deployer(lambda deployer: deployer.route(route)).needed()
        tree = read_plan(_root(found))
        picture = draw(tree) if tree else None
        document = json.dumps(found.plan or found.spec, indent=2, ensure_ascii=False)
        return view.page("route.html", route=found, tree=tree, picture=picture, document=document)

    @app.post("/routes/{route}/delete", response_class=HTMLResponse)
    def delete(route: str, form: Annotated[Form, Depends(console.form("retire", "route"))]) -> Response:
        """Delete a route that is not a model's own."""
        return form.do(
            lambda io: io.deployer.client.delete_route(route), done=f"Route {route} is deleted.", then="/routes"
        )


def _add_editing(app: FastAPI, console: Console) -> None:
    @app.get("/routes/{route}/edit", response_class=HTMLResponse)
    def edit(route: str, view: Annotated[View, Depends(console.view("update", "route", over="resource"))]) -> Response:
        """The specification as JSON."""
        found = view.io.deployer(lambda deployer: deployer.route(route)).needed()
        written, seen = Written(shown(found.spec)), digest_of_spec(found.spec)
        return view.page("route_edit.html", route=found, written=written, seen=seen)

    @app.post("/routes/{route}/edit", response_class=HTMLResponse)
    def save(route: str, form: Annotated[Form, Depends(console.form("update", "route"))]) -> Response:
        """Replace the specification, unless another person changed it since the form was opened."""
        found = form.view.io.deployer(lambda deployer: deployer.route(route)).needed()
        written, seen = read_specification(form.values.get("spec", "")), digest_of_spec(found.spec)
        if form.text("seen") != seen:
            changed = "the specification was changed since you opened it; it is shown below yours"
            written = Written(written.text, ((("", changed)),))
            return form.view.page(
                "route_edit.html", 409, route=found, written=written, seen=seen, other=shown(found.spec)
            )
        return _saved(form, route, written, "route_edit.html", route=found, seen=seen)


def _saved(form: Form, target: str, written: Written, template: str, **context: object) -> Response:
    """Send a specification to the deployer; its errors are shown beside the field."""
    if written.problems or written.document is None:
        return form.view.page(template, 422, **context, written=written)
    try:
        form.view.io.deployer.client.set_route(target, written.document)
    except ApiError as error:
        problem = explained(error)
        refused = Written(written.text, ((str(problem["field"] or ""), str(problem["detail"])),))
        return form.view.page(template, error.status or 503, **context, written=refused)
    return saved(target)


def _root(route: PublishedRoute) -> object:
    """The published tree; that of the specification while nothing is published."""
    return (route.plan or route.spec).get("root")
