"""`/admin/connections`: providers of models, with prices, limits, their users and their history."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from modelyard import ApiError
from modelyard_console.clients.platform import explained
from modelyard_console.domain import links
from modelyard_console.domain.connections import EXAMPLE, read_connection, text_of
from modelyard_console.pages.view import Console, Form, View
from modelyard_contracts.connections import Connection
from modelyard_runtime.access import Target
from modelyard_runtime.http.access import authorize

KIND = "connection"
Problems = Sequence[tuple[str, str]]


def add_connections(app: FastAPI, console: Console) -> None:
    reader, one = console.view("read", KIND), console.view("read", KIND, "resource")
    created, changed = console.form("update", KIND, "any-workspace"), console.form("update", KIND)

    @app.get("/admin/connections", response_class=HTMLResponse)
    def connections(view: Annotated[View, Depends(reader)]) -> Response:
        """List the connections, with a form for a new one."""
        return _list(view)

    @app.post("/admin/connections", response_class=HTMLResponse)
    def create(form: Annotated[Form, Depends(created)]) -> Response:
        """Create a connection, unless there is one with this name."""
        name, text = form.required("name", "Name"), form.text("document")
        workspace, found, _ = name.rpartition(":")
        authorize(form.view.me, "update", Target(workspace if found else "default", KIND, name))
        problems = _set(form, name, text, expected_revision=0)
        if problems:
            return _list(form.view, name, text, problems)
        return form.finish(f"The connection {name} was created.", links.connection(name))

    @app.get("/admin/connections/{reference}", response_class=HTMLResponse)
    def connection(reference: str, view: Annotated[View, Depends(one)]) -> Response:
        """Show a connection: prices, limits, versions that use it, revisions, and a form that replaces it."""
        return _one(view, reference)

    @app.post("/admin/connections/{reference}", response_class=HTMLResponse)
    def replace(reference: str, form: Annotated[Form, Depends(changed)]) -> Response:
        """Replace a connection, unless another person did since the page was opened."""
        text, revision = form.text("document"), form.text("revision")
        problems = _set(form, reference, text, expected_revision=int(revision) if revision.isdecimal() else 0)
        if problems:
            return _one(form.view, reference, text, problems, revision)
        return form.finish(f"The connection {reference} was replaced.", links.connection(reference))

    @app.post("/admin/connections/{reference}/delete", response_class=HTMLResponse)
    def delete(reference: str, form: Annotated[Form, Depends(changed)]) -> Response:
        """Delete a connection that no version uses."""
        reason, revision = form.required("reason", "Reason"), form.text("revision")
        expected = int(revision) if revision.isdecimal() else 0
        return form.do(
            lambda io: io.registry.client.delete_connection(reference, expected_revision=expected, reason=reason),
            done=f"The connection {reference} was deleted.",
            then=links.CONNECTIONS,
        )


def _set(form: Form, name: str, text: str, *, expected_revision: int) -> Problems:
    """Store the connection; returns its problems."""
    written = read_connection(text)
    if written.document is None:
        return written.problems
    wanted = Connection.model_validate(written.document)
    try:
        form.view.io.registry.client.set_connection(
            name, wanted, expected_revision=expected_revision, reason=form.text("reason")
        )
    except ApiError as error:
        found = explained(error)
        return ((str(found["field"] or ""), str(found["detail"])),)
    return ()


def _list(view: View, name: str = "", text: str = EXAMPLE, problems: Problems = ()) -> Response:
    found = view.io.registry(lambda registry: registry.connections())
    context = {"found": found.part, "name": name, "text": text, "problems": problems}
    return view.page("connections.html", 422 if problems else 200, **context)


def _one(view: View, name: str, text: str = "", problems: Problems = (), revision: str = "") -> Response:
    """revision: that the text was written for; empty for the present one."""
    found = view.io.registry(lambda registry: registry.connection(name))
    history = view.io.registry(lambda registry: registry.connection_history(name))
    info = found.needed()
    context = {"info": info, "history": history.part, "text": text or text_of(info), "problems": problems}
    return view.page("connection.html", 422 if problems else 200, **context, revision=revision or str(info.revision))
