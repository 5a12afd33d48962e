"""Principals and the one decision that every service asks for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from modelyard_runtime.access.grants import ANY, GRANTS, SCOPES

ALL_WORKSPACES: Final = "*"
"""As a workspace of a role: granted everywhere. As a workspace of a target: only roles granted everywhere count."""

PrincipalKind = Literal["user", "service", "bootstrap"]


@dataclass(frozen=True)
class Principal:
    """A caller whose key was checked."""

    identity: str
    kind: PrincipalKind = "user"
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Workspace, or ALL_WORKSPACES, to the names of the roles granted there."""
    scopes: frozenset[str] | None = None
    """Names of SCOPES that narrow the roles; None narrows nothing."""

    def roles_in(self, workspace: str) -> frozenset[str]:
        """Roles that count in a workspace."""
        everywhere = self.roles.get(ALL_WORKSPACES, frozenset())
        return everywhere | self.roles.get(workspace, frozenset())


@dataclass(frozen=True)
class Target:
    """A resource that an action is about."""

    workspace: str
    kind: str
    name: str = ""
    created_by: str | None = None
    """Identity that registered it, where the four-eyes rule applies; None where it does not."""


@dataclass(frozen=True)
class Decision:
    """Allowed or denied, with the reason for the ledger and for the refusal."""

    allowed: bool
    reason: str


BOOTSTRAP: Final = Principal("bootstrap-admin", "bootstrap", {ALL_WORKSPACES: frozenset({"admin"})})
"""The holder of the admin key."""


def may(principal: Principal, action: str, target: Target) -> Decision:
    """Decide whether `principal` may do `action` on `target`. Pure; denies by default."""
    if action == "approve" and target.created_by == principal.identity and principal.kind != "bootstrap":
        return Decision(False, f"four eyes: {principal.identity} registered this version and cannot approve it")
    if refused := _refused_by_scopes(principal, action):
        return refused
    for role in sorted(principal.roles_in(target.workspace)):
        if _grants(role, action, target.kind):
            return Decision(True, f"role {role} in {target.workspace}")
    return Decision(
        False,
        f"no role of {principal.identity} in workspace {target.workspace} allows {action} on {target.kind}; "
        f"ask an admin for {_one_of(roles_that_allow(action, target.kind))}",
    )


def may_anywhere(principal: Principal, action: str, kind: str) -> Decision:
    """Decide for what spans workspaces, such as a list: allowed if it is allowed in at least one of them."""
    decision = Decision(False, f"{principal.identity} has no role; ask an admin for one")
    for workspace in sorted(principal.roles):
        decision = may(principal, action, Target(workspace, kind))
        if decision.allowed:
            break
    return decision


def roles_that_allow(action: str, kind: str) -> tuple[str, ...]:
    """Names of the roles that grant an action on a kind, people's roles first."""
    return tuple(role for role in GRANTS if _grants(role, action, kind))


def _grants(role: str, action: str, kind: str) -> bool:
    granted = GRANTS.get(role, frozenset())
    return bool({(action, kind), (action, ANY), (ANY, ANY)} & granted)


def _refused_by_scopes(principal: Principal, action: str) -> Decision | None:
    if principal.scopes is None or any(action in SCOPES.get(scope, frozenset()) for scope in principal.scopes):
        return None
    fitting = [scope for scope, actions in SCOPES.items() if action in actions]
    return Decision(
        False,
        f"the scopes of this key ({', '.join(sorted(principal.scopes)) or 'none'}) leave out {action}; "
        f"use a key with {_one_of(fitting) if fitting else 'no scopes'}",
    )


def _one_of(names: Iterable[str]) -> str:
    people = [name for name in names if not name.startswith("service-")]
    return " or ".join(people) if people else "a role that does"
