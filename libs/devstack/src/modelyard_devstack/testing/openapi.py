"""A service against its own OpenAPI document, with requests made up by schemathesis.

    def test_the_api_keeps_to_its_document() -> None:
        check_api(build_app(authenticator=role_keys()))

A response fails when its status is 5xx, or when status, content type, headers or body are not in the document.
"""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI

ADMIN: Final = "admin@*"
"""A key of `testing.access.role_keys` that may do everything."""


def check_api(app: FastAPI, *, key: str = ADMIN, examples: int = 20, skip: frozenset[str] = frozenset()) -> int:
    """Send `examples` made-up requests to every operation; AssertionError lists each that breaks the document.

    skip: labels such as `POST /v1/runs` to leave out, each with a reason beside the call. Streams of events are left
    out always: they do not end. Returns the number of operations checked.
    """
    failures, checked = [], 0
    for operation in _operations(app):
        if operation.label in skip or _streams(operation):
            continue
        checked += 1
        try:
            _check(operation, key, examples)
        except BaseExceptionGroup as error:
            failures += [f"{operation.label}: {failure}" for failure in error.exceptions]
        except Exception as error:
            failures.append(f"{operation.label}: {error}")
    assert not failures, "\n\n".join(failures)  # noqa: S101
    assert checked, "the document has no operation"  # noqa: S101
    return checked


def _operations(app: FastAPI) -> Iterator[Any]:
    import schemathesis

    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.app = app
    for result in schema.get_all_operations():
        operation: Any = result
        yield operation.ok()


def _streams(operation: Any) -> bool:
    responses = operation.definition.raw["responses"].values()
    return any("text/event-stream" in response.get("content", {}) for response in responses)


def _check(operation: Any, key: str, examples: int) -> None:
    from hypothesis import HealthCheck, given, settings
    from schemathesis import checks

    wanted = [
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]

    @settings(max_examples=examples, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {key}"}, checks=wanted)

    run()
