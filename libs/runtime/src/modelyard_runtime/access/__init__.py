"""Who may do what: principals, roles and one decision function. Needs no web framework.

`http.access.allow` is the FastAPI dependency; `grants` holds the rules as data.
"""

from modelyard_runtime.access.authenticator import Authenticator, token_of
from modelyard_runtime.access.grants import ACTIONS, GRANTS, KINDS, ROLES, SCOPES, SERVICE_ROLES
from modelyard_runtime.access.introspection import Introspect, registry_introspection
from modelyard_runtime.access.principals import (
    ALL_WORKSPACES,
    BOOTSTRAP,
    Decision,
    Principal,
    Target,
    may,
    may_anywhere,
    roles_that_allow,
)

__all__ = [
    "ACTIONS",
    "ALL_WORKSPACES",
    "BOOTSTRAP",
    "GRANTS",
    "KINDS",
    "ROLES",
    "SCOPES",
    "SERVICE_ROLES",
    "Authenticator",
    "Decision",
    "Introspect",
    "Principal",
    "Target",
    "may",
    "may_anywhere",
    "registry_introspection",
    "roles_that_allow",
    "token_of",
]
