"""Error responses: application/problem+json (RFC 9457), one status for each error of ours, declared in OpenAPI."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from modelyard_contracts.sentences import Explained, exact, explain, one_line, plain
from modelyard_runtime.errors import Conflict, Forbidden, Invalid, ModelyardError, NotFound, Unavailable, retryable

PROBLEM_JSON: Final = "application/problem+json"
_OWN_WORDS: Final = {
    "Not Found": "there is no endpoint {path}; see the service's openapi.json",
    "Method Not Allowed": "{path} does not support {method}; see the service's openapi.json",
    "There was an error parsing the body": ("the body cannot be read; send JSON in UTF-8 that is not nested deeply"),
}
"""For the phrases of the web framework."""
STATUS: Final[Mapping[type[ModelyardError], int]] = {
    NotFound: 404,
    Conflict: 409,
    Invalid: 422,
    Forbidden: 403,
    Unavailable: 503,
}


class ProblemDocument(BaseModel):
    """The body of every response outside 2xx."""

    type: str = Field(description="URN of the kind of problem.", examples=["urn:modelyard:problem:not_found"])
    title: str = Field(description="Phrase of the HTTP status.")
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="The problem in one sentence, for a person.")
    code: str = Field(description="Stable word for programs, such as `not_found`.")
    field: str | None = Field(None, description="The input field at fault, where one is.")
    remedy: str | None = Field(None, description="What to do about it, where that is known.")


class Problem(Exception):
    """An error response for which there is no error type."""

    def __init__(self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, dict(headers or {})


def status_of(error: ModelyardError) -> int:
    """The HTTP status of one of our errors: its nearest base that has one; 503 if it is retryable, else 500."""
    for base in type(error).__mro__:
        if base in STATUS:
            return STATUS[base]
    return 503 if retryable(error) else 500


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    field: str | None = None,
    remedy: str | None = None,
    headers: Mapping[str, str] | None = None,
    extension: Mapping[str, object] | None = None,
) -> JSONResponse:
    """An RFC 9457 response. extension: further members of the document; those of the standard win."""
    body: dict[str, object] = {
        **(extension or {}),
        "type": f"urn:modelyard:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": one_line(detail),
        "code": code,
    }
    if field:
        body["field"] = exact(field)
    if remedy:
        body["remedy"] = one_line(remedy)
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=PROBLEM_JSON)


def code_of(status: int) -> str:
    """The code of an error without one of its own, such as `not_found`."""
    return HTTPStatus(status).name.lower()


def add_error_answers(app: FastAPI) -> None:
    """Answer every error as a problem."""

    @app.exception_handler(ModelyardError)
    async def _ours(_: Request, error: ModelyardError) -> JSONResponse:
        headers = {"Retry-After": "1"} if retryable(error) else {}
        status = status_of(error)
        return problem(
            status,
            error.code,
            str(error),
            field=error.field,
            remedy=error.remedy,
            headers=headers,
            extension=error.extension,
        )

    @app.exception_handler(Problem)
    async def _problem(_: Request, error: Problem) -> JSONResponse:
        return problem(error.status, error.code, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        explained = _explained(request, error.errors())
        return problem(422, "invalid", explained.sentence, field=explained.field or None)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        detail = _OWN_WORDS.get(str(error.detail), "{detail}").format(
            detail=error.detail, method=request.method, path=plain(request.url.path)
        )
        return problem(error.status_code, code_of(error.status_code), detail, headers=error.headers)


def _explained(request: Request, items: Sequence[Mapping[str, Any]]) -> Explained:
    """The first error of a request in words; its location begins with `body`, `query`, `path` or `header`."""
    first = items[0]
    within = tuple(first["loc"][1:])
    if first["type"] == "json_invalid":
        return Explained("body", f"is not JSON at character {within[0] if within else 0}; send a JSON object")
    if within or first["type"] == "value_error":  # of the whole body, in the words of its class
        return explain([{**first, "loc": within}, *items[1:]])
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        return Explained("body", "is not marked as JSON; send it with the header content-type: application/json")
    wanted = "is missing" if first["type"] == "missing" else "is not a JSON object"
    return Explained("body", f"{wanted}; send a JSON object")


def describe_problems(document: dict[str, Any]) -> None:
    """Declare in an OpenAPI document that every response outside 2xx is a problem."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = ProblemDocument.model_json_schema()
    schema = {"$ref": "#/components/schemas/Problem"}
    components.setdefault("responses", {})["Problem"] = {
        "description": "A problem document (RFC 9457).",
        "content": {PROBLEM_JSON: {"schema": schema}},
    }
    for methods in document.get("paths", {}).values():
        for operation in methods.values():
            responses = operation["responses"]
            for status in [status for status in responses if not status.startswith("2")]:
                del responses[status]
            for status in ("4XX", "5XX"):
                responses[status] = {"$ref": "#/components/responses/Problem"}
