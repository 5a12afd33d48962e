"""Errors as pages: what happened, what to do, in the frame of the console."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from modelyard import ApiError
from modelyard_console.clients.platform import explained
from modelyard_console.pages.templates import Templates
from modelyard_contracts.sentences import explain, one_line
from modelyard_runtime.errors import ModelyardError
from modelyard_runtime.http.problems import status_of

FORM: Final = "form"
"""Attribute of a request's state: the form that it sent, once its token was checked."""
NOT_FOUND: Final = "This address does not exist. The navigation leads to all pages."


class Refusable(Protocol):
    """A form that can be shown again."""

    def refused(self, problem: Mapping[str, Any], status: int) -> Response: ...


def error_page(templates: Templates, status: int, problem: Mapping[str, Any]) -> Response:
    """A page for an error. It needs no session and no service."""
    return HTMLResponse(templates.render("error.html", {"status": status, "problem": problem}), status)


def add_error_pages(app: FastAPI, templates: Templates) -> None:
    """Answer every error of a page as a page."""

    def show(status: int, detail: str) -> Response:
        return error_page(templates, status, {"detail": one_line(detail), "field": None, "remedy": None})

    def refuse(request: Request, status: int, problem: Mapping[str, Any]) -> Response:
        """Show a sent form again, with everything in it; otherwise an error page."""
        form: Refusable | None = getattr(request.state, FORM, None)
        return error_page(templates, status, problem) if form is None else form.refused(problem, status)

    @app.exception_handler(ApiError)
    async def _api(request: Request, error: ApiError) -> Response:
        return await asyncio.to_thread(refuse, request, error.status or 503, explained(error))

    @app.exception_handler(ModelyardError)
    async def _ours(request: Request, error: ModelyardError) -> Response:
        problem = {"detail": one_line(str(error)), "field": error.field, "remedy": error.remedy}
        return await asyncio.to_thread(refuse, request, status_of(error), problem)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        explained_ = explain([{**item, "loc": tuple(item["loc"][1:])} for item in error.errors()])
        return show(422, explained_.sentence)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        return show(error.status_code, NOT_FOUND if error.status_code == 404 else str(error.detail))

    @app.exception_handler(Exception)
    async def _unknown(_: Request, error: Exception) -> Response:
        """A defect of the console. The edge logs it with its trace."""
        return show(500, "The console made a mistake; its log has the details.")
