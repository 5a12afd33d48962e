"""Errors in MLflow's form: every problem document under `/mlflow/` becomes `{error_code, message}`."""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard_runtime.http.problems import PROBLEM_JSON

PREFIX: Final = "/mlflow/"
OF_STATUS: Final = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "ENDPOINT_NOT_FOUND",
    409: "INVALID_STATE",
    413: "INVALID_PARAMETER_VALUE",
    422: "INVALID_PARAMETER_VALUE",
    501: "NOT_IMPLEMENTED",
    503: "TEMPORARILY_UNAVAILABLE",
}
OF_CODE: Final = {
    **dict.fromkeys(("experiment_exists", "resource_exists", "duplicate_version"), "RESOURCE_ALREADY_EXISTS"),
    **dict.fromkeys(("param_is_set",), "INVALID_PARAMETER_VALUE"),
}
STATUS: Final = {422: 400, 409: 400}
"""MLflow answers invalid values and wrong states with 400, and clients know no other."""


class MlflowErrors:
    """Rewrites problem documents of one path prefix; every other response passes through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_problem(message):
                held.append(message)
                return
            if not held:
                await send(message)
                return
            held.append(message)
            if not message.get("more_body", False):
                await _rewritten(held, send)

        await self._app(scope, receive, sending)


def _is_problem(message: Message) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(PROBLEM_JSON.encode())
        for name, value in message.get("headers", ())
    )


async def _rewritten(held: list[Message], send: Send) -> None:
    start, body = held[0], b"".join(message.get("body", b"") for message in held[1:])
    answer = json.dumps(as_mlflow(json.loads(body))).encode() if body else b""
    kept = [(k, v) for k, v in start["headers"] if k.lower() not in (b"content-type", b"content-length")]
    own = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    status = STATUS.get(start["status"], start["status"])
    await send({**start, "status": status, "headers": [*kept, *own]})
    await send({"type": "http.response.body", "body": answer})


def as_mlflow(problem: Mapping[str, Any]) -> dict[str, Any]:
    """A problem document as MLflow's client reads it: the remedy is part of the message."""
    code = OF_CODE.get(problem["code"]) or OF_STATUS.get(problem["status"], "INTERNAL_ERROR")
    parts = [problem["detail"], problem.get("remedy")]
    return {"error_code": code, "message": "; ".join(part for part in parts if part), "code": problem["code"]}
