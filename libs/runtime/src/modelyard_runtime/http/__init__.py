"""The control APIs: FastAPI with health, metrics, problem+json, tracing, size limit, and no open endpoint."""

from modelyard_runtime.http.access import (
    Needs,
    allow,
    allowed_workspaces,
    authenticated,
    authorize,
    needs_of,
    target_of,
    visible,
)
from modelyard_runtime.http.app import caller, create_app
from modelyard_runtime.http.edge import OPEN_PATHS, Edge
from modelyard_runtime.http.problems import Problem

__all__ = [
    "OPEN_PATHS",
    "Edge",
    "Needs",
    "Problem",
    "allow",
    "allowed_workspaces",
    "authenticated",
    "authorize",
    "caller",
    "create_app",
    "needs_of",
    "target_of",
    "visible",
]
