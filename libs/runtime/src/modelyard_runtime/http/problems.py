"""Answers that are errors: application/problem+json (RFC 9457), one number for each error of ours."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from modelyard_runtime.errors import Conflict, Forbidden, Invalid, ModelyardError, NotFound, Unavailable, retryable

PROBLEM_JSON: Final = "application/problem+json"
STATUS: Final[Mapping[type[ModelyardError], int]] = {
    NotFound: 404,
    Conflict: 409,
    Invalid: 422,
    Forbidden: 403,
    Unavailable: 503,
}


class Problem(Exception):
    """An answer that is an error (RFC 9457); for what has no error type of its own."""

    def __init__(self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, dict(headers or {})


def status_of(error: ModelyardError) -> int:
    """The HTTP number of one of our errors: its nearest base that has one; retryable ones 503, the others 500."""
    for base in type(error).__mro__:
        if base in STATUS:
            return STATUS[base]
    return 503 if retryable(error) else 500


def problem(
    status: int, code: str, detail: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An RFC 9457 answer."""
    detail = detail.encode("utf-8", "replace").decode()  # it may tell what came, and that may be half a character
    body: dict[str, object] = {
        "type": f"urn:modelyard:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if field:
        body["field"] = field
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=PROBLEM_JSON)


def code_of(status: int) -> str:
    """The code of an error that has none of its own, such as `not_found`."""
    return HTTPStatus(status).name.lower()


def add_error_answers(app: FastAPI) -> None:
    """Answer every error as a problem."""

    @app.exception_handler(ModelyardError)
    async def _ours(_: Request, error: ModelyardError) -> JSONResponse:
        headers = {"Retry-After": "1"} if retryable(error) else {}
        return problem(status_of(error), error.code, str(error), field=error.field, headers=headers)

    @app.exception_handler(Problem)
    async def _problem(_: Request, error: Problem) -> JSONResponse:
        return problem(error.status, error.code, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        items = error.errors()
        first = items[0]
        where = [str(part) for part in first["loc"][1:]] or [str(part) for part in first["loc"]]
        more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
        return problem(422, "invalid", f"{'.'.join(where)}: {first['msg']}{more}", field=".".join(where))

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, code_of(error.status_code), str(error.detail), headers=error.headers)
