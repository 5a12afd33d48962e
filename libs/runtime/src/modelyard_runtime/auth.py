"""Old import path of `modelyard_runtime.access`; removed once every service imports from there."""

from typing import Any, Final

from modelyard_runtime.access.authenticator import MAX_TOKEN_CHARS, Authenticator, token_of
from modelyard_runtime.access.introspection import Introspect, registry_introspection
from modelyard_runtime.access.principals import BOOTSTRAP, Principal, of_old_scopes

SCOPES: Final = frozenset({"admin", "write", "read", "predict", "service"})

__all__ = [
    "BOOTSTRAP",
    "MAX_TOKEN_CHARS",
    "SCOPES",
    "Authenticator",
    "Introspect",
    "Principal",
    "of_old_scopes",
    "registry_introspection",
    "require",
    "token_of",
]


def require(scope: str) -> Any:
    """For FastAPI: `Depends(require("write"))`; use `http.access.allow` in new code."""
    from modelyard_runtime.http import require as dependency

    return dependency(scope)
