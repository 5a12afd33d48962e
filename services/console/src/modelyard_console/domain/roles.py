"""The rules of access as people read them: which role may do what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from modelyard_console.domain.formats import words
from modelyard_runtime.access import ALL_WORKSPACES, ROLES, SCOPES
from modelyard_runtime.access.grants import ANY
from modelyard_runtime.errors import Invalid

PURPOSES: Final[Mapping[str, str]] = {
    "viewer": "sees everything and changes nothing",
    "caller": "asks for predictions and sends labels",
    "developer": "brings models and data, starts training and evaluations",
    "reviewer": "approves or rejects versions; never the own ones",
    "release-manager": "moves traffic: rollouts, roll-backs, routes, aliases, policies",
    "admin": "everything, with workspaces and keys",
}
FIELD: Final = "role/"
"""Start of the name of a checkbox: `role/WORKSPACE/ROLE`."""
SCOPE_FIELD: Final = "scope/"


@dataclass(frozen=True)
class ExplainedRole:
    """A role of people. rules: actions to the kinds on which it allows them."""

    name: str
    purpose: str
    rules: Sequence[tuple[str, str]]


def explained_roles() -> list[ExplainedRole]:
    """Every role that a person can have, from the rules that the services apply."""
    return [ExplainedRole(name, PURPOSES.get(name, ""), _rules(name)) for name in ROLES]


def explained_scopes() -> list[tuple[str, str]]:
    """Name of each scope and the actions that it leaves."""
    return [(name, ", ".join(sorted(map(words, actions)))) for name, actions in SCOPES.items()]


def roles_sent(values: Mapping[str, str]) -> dict[str, list[str]]:
    """Workspace to roles, from the checkboxes of a form; Invalid when none is checked."""
    found: dict[str, list[str]] = {}
    for name in values:
        workspace, separator, role = name.removeprefix(FIELD).rpartition("/")
        if name.startswith(FIELD) and separator:
            found.setdefault(workspace, []).append(role)
    if not found:
        raise Invalid("roles: check at least one role; a key without one can do nothing", field="roles")
    return found


def scopes_sent(values: Mapping[str, str]) -> list[str] | None:
    """The checked scopes; None when none is, so that nothing is narrowed."""
    return [name.removeprefix(SCOPE_FIELD) for name in values if name.startswith(SCOPE_FIELD)] or None


def expiry_sent(text: str, now: datetime) -> datetime | None:
    """The end of the day that a form names, in UTC; None without one. Invalid names the field."""
    if not text:
        return None
    try:
        day = datetime.combine(datetime.fromisoformat(text).date(), time(), UTC) + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise Invalid("expires: give a day such as 2027-01-31", field="expires") from error
    if day <= now:
        raise Invalid(f"expires: {text} has passed; give a later day", field="expires")
    return day


def everywhere(workspace: str) -> str:
    """A workspace of a role as people read it."""
    return "all workspaces" if workspace == ALL_WORKSPACES else workspace


def _rules(role: str) -> list[tuple[str, str]]:
    kinds: dict[str, list[str]] = {}
    for action, kind in sorted(ROLES[role]):
        kinds.setdefault(action, []).append("everything" if kind == ANY else words(kind))
    return [("any action" if action == ANY else words(action), ", ".join(found)) for action, found in kinds.items()]
