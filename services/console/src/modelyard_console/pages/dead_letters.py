"""`/admin/dead-letters`: what each service could not handle, with the reason; have it handled again."""

from typing import Annotated, Final

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from modelyard import ApiError, DeadLetters
from modelyard_console.clients.platform import Pending, Services, explained
from modelyard_console.domain import links
from modelyard_console.pages.view import Console, Form, View
from modelyard_runtime.errors import Invalid, NotFound

SERVICES: Final = ("registry", "trainer", "evaluator", "deployer", "monitor")
"""Services that read topics."""
LETTERS: Final = 50
"""Newest letters of each service."""


def add_dead_letters(app: FastAPI, console: Console) -> None:
    @app.get("/admin/dead-letters", response_class=HTMLResponse)
    def newest(
        view: Annotated[View, Depends(console.view("read-dead-letters", "service", "all-workspaces"))],
    ) -> Response:
        """Show the number of letters by service, and the newest ones."""
        pending = {name: asked(view.io, name) for name in SERVICES}
        resends = view.may("resend", "service")
        return view.page("dead_letters.html", boxes={name: one.part for name, one in pending.items()}, resends=resends)

    @app.post("/admin/dead-letters/{service}", response_class=HTMLResponse)
    def resend(
        service: str, form: Annotated[Form, Depends(console.form("resend", "service", "all-workspaces"))]
    ) -> Response:
        """Have the letters of a topic handled again, up to the newest one that the person saw."""
        if service not in SERVICES:
            raise NotFound(f"service: there is no {service!r}; there are {', '.join(SERVICES)}", field="service")
        try:
            done = _resent(form, service)
        except ApiError as error:
            return form.refused(explained(error), error.status or 503)
        return form.finish(f"The {service} handled {done} dead letters again.", links.DEAD_LETTERS)


def asked(io: Services, service: str) -> Pending[DeadLetters]:
    """The newest letters of a service, and their number."""
    return io.named(service)(lambda client: client.dead_letters(limit=LETTERS))


def _resent(form: Form, service: str) -> int:
    through, reason = form.required("through", "through"), form.required("reason", "reason")
    if not through.isdecimal():
        raise Invalid("through: give the position of the newest letter to handle, a whole number", field="through")
    client = form.view.io.named(service).client
    return client.resend_dead_letters(form.required("topic", "topic"), through=int(through), reason=reason)
