"""The rules as data: which role allows which action on which kind. Anything not listed is denied."""

from collections.abc import Mapping
from typing import Final

ANY: Final = "*"

ACTIONS: Final = frozenset(
    {
        *("read", "register", "create", "update", "approve", "reject", "retire", "move-alias", "set-policy"),
        "allow-code",
        *("start", "cancel", "abort", "roll-back", "predict", "feedback", "explain"),
        *("manage-keys", "introspect", "read-dead-letters", "resend", "record", "collect"),
    }
)
KINDS: Final = frozenset(
    {
        *("model", "dataset", "prompt", "workspace", "policy", "run", "evaluation", "rollout", "route", "prediction"),
        *("drift", "alert", "key", "schema", "blob", "service", "experiment", "connection"),
    }
)

Grant = tuple[str, str]
"""(action, kind); `*` for every kind, or for every action of an admin."""


def _on(action: str, *kinds: str) -> set[Grant]:
    return {(action, kind) for kind in kinds}


_VERSIONED: Final = ("model", "dataset", "prompt")
_READ_ALL: Final = _on("read", ANY)
_CALL: Final = _on("predict", "route") | _on("feedback", "prediction")
_SERVICE: Final = _on("introspect", "key") | _on("read", "schema", "model", "policy")
"""Every service checks keys, and reads schemas, manifests and policies."""
_RECORD: Final = _on("record", "service")
"""Services that read topics record who has their dead letters handled again."""

ROLES: Final[Mapping[str, frozenset[Grant]]] = {
    "viewer": frozenset(_READ_ALL),
    "caller": frozenset(_CALL),
    "developer": frozenset(
        _READ_ALL
        | _CALL
        | _on("create", *_VERSIONED, "experiment")
        | _on("register", *_VERSIONED, "blob", "schema")
        | _on("update", *_VERSIONED, "experiment")
        | _on("start", "run", "evaluation")
        | _on("cancel", "run", "evaluation")
        | _on("explain", "route")
    ),
    "reviewer": frozenset(
        _READ_ALL | _on("approve", *_VERSIONED) | _on("reject", *_VERSIONED) | _on("allow-code", "model")
    ),
    "release-manager": frozenset(
        _READ_ALL
        | _on("retire", *_VERSIONED, "route")
        | _on("move-alias", *_VERSIONED)
        | _on("set-policy", "policy")
        | _on("update", "connection")
        | _on("start", "rollout")
        | _on("abort", "rollout")
        | _on("roll-back", "route", "rollout")
        | _on("create", "route")
        | _on("update", "route")
        | _on("explain", "route")
    ),
    "admin": frozenset({(ANY, ANY)}),
}
"""Roles of people, granted per workspace."""

SERVICE_ROLES: Final[Mapping[str, frozenset[Grant]]] = {
    "service-registry": frozenset(_on("introspect", "key") | _on("read", "schema")),
    "service-trainer": frozenset(
        _SERVICE
        | _RECORD
        | _on("read", "blob", "dataset")
        | _on("create", "model", "dataset")
        | _on("register", "model", "dataset", "blob")
    ),
    "service-evaluator": frozenset(
        _SERVICE
        | _RECORD
        | _on("read", "blob", "dataset", "drift", "connection")
        | _on("create", "dataset")
        | _on("register", "dataset", "blob")
    ),
    "service-deployer": frozenset(_SERVICE | _RECORD | _on("read", "blob", "alert", "drift", "connection")),
    "service-router": frozenset(_on("introspect", "key") | _on("read", "schema")),
    "service-monitor": frozenset(_SERVICE | _RECORD),
    "service-console": frozenset(_READ_ALL | _on("introspect", "key")),
}
"""Roles of services: exactly the calls that each makes to the others."""

GRANTS: Final[Mapping[str, frozenset[Grant]]] = {**ROLES, **SERVICE_ROLES}

SCOPES: Final[Mapping[str, frozenset[str]]] = {
    "read": frozenset({"read", "explain"}),
    "predict": frozenset({"predict", "feedback"}),
    "register": frozenset({"read", "create", "register", "update"}),
    "train": frozenset({"read", "start", "cancel"}),
    "review": frozenset({"read", "approve", "reject", "allow-code"}),
    "release": frozenset(
        {"read", "start", "abort", "roll-back", "retire", "move-alias", "set-policy", "create", "update", "explain"}
    ),
    "operate": frozenset({"read", "read-dead-letters", "resend", "update"}),
}
"""Scope of a key to the actions that it leaves of the key's roles. A scope never adds an action."""
