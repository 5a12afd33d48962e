"""The OpenAPI document of a service: FastAPI's, with errors, the key and the action of every endpoint."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts

from modelyard_runtime.http.access import needs_of
from modelyard_runtime.http.problems import describe_problems


def describe(app: FastAPI) -> None:
    """Make `app.openapi()` return the full document; it is built once, when first asked for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            describe_problems(document)
            _describe_access(document, app)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the documented way to extend the document


def _describe_access(document: dict[str, Any], app: FastAPI) -> None:
    """Add the bearer scheme, and `x-modelyard-access` to each operation."""
    schemes = document["components"].setdefault("securitySchemes", {})
    schemes["key"] = {"type": "http", "scheme": "bearer", "description": "An API key: my_<id>_<secret>."}
    document["security"] = [{"key": []}]
    for context in iter_route_contexts(app.routes):
        path: Any = getattr(context, "path_format", None)
        for needs in needs_of(getattr(context, "dependant", None)):
            access = {"action": needs.action, "kind": needs.kind, "over": needs.over}
            for method in getattr(context, "methods", None) or ():
                operation = document["paths"].get(path, {}).get(method.lower())
                if operation is not None:
                    operation["x-modelyard-access"] = access
