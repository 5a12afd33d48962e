"""Who may do what: a pure decision over data, denying by default."""

import pytest

from modelyard_runtime.access import ACTIONS, BOOTSTRAP, GRANTS, KINDS, SCOPES, Principal, Target, may, may_anywhere


def holder(role: str, workspace: str = "acme", scopes: frozenset[str] | None = None) -> Principal:
    return Principal("ann", "user", {workspace: frozenset({role})}, scopes)


def test_every_grant_names_a_known_action_and_kind() -> None:
    for role, granted in GRANTS.items():
        for action, kind in granted:
            assert action in ACTIONS | {"*"}, role
            assert kind in KINDS | {"*"}, role
    for scope, actions in SCOPES.items():
        assert actions <= ACTIONS, scope


def test_only_an_admin_holds_a_wildcard_action() -> None:
    assert [role for role, granted in GRANTS.items() if any(action == "*" for action, _ in granted)] == ["admin"]


@pytest.mark.parametrize("role", [role for role in GRANTS if role.startswith("service-")])
def test_no_service_may_approve_promote_or_manage_keys(role: str) -> None:
    principal = holder(role, "*")
    for action in ("approve", "allow-code", "reject", "move-alias", "set-policy", "manage-keys", "predict"):
        for kind in KINDS:
            assert not may(principal, action, Target("acme", kind)).allowed, (action, kind)


def test_a_role_counts_in_its_workspace_only() -> None:
    developer = holder("developer")
    assert may(developer, "register", Target("acme", "model")).allowed
    refused = may(developer, "register", Target("other", "model"))
    assert not refused.allowed
    assert "no role of ann in workspace other allows register on model" in refused.reason
    assert "developer" in refused.reason
    assert may(holder("developer", "*"), "register", Target("other", "model")).allowed


def test_a_target_in_all_workspaces_needs_a_role_granted_everywhere() -> None:
    assert not may(holder("admin"), "update", Target("*", "service")).allowed
    assert may(holder("admin", "*"), "update", Target("*", "service")).allowed


def test_an_unknown_role_or_no_role_allows_nothing() -> None:
    assert not may(holder("emperor"), "read", Target("acme", "model")).allowed
    assert not may(Principal("ann"), "read", Target("acme", "model")).allowed
    assert not may_anywhere(Principal("ann"), "read", "model").allowed


def test_whoever_registered_a_version_cannot_approve_it() -> None:
    lead = Principal("ann", "user", {"acme": frozenset({"developer", "reviewer"})})
    assert may(lead, "approve", Target("acme", "model", "churn", created_by="bob")).allowed
    refused = may(lead, "approve", Target("acme", "model", "churn", created_by="ann"))
    assert (refused.allowed, refused.reason[:9]) == (False, "four eyes")
    assert may(BOOTSTRAP, "approve", Target("acme", "model", "churn", created_by=BOOTSTRAP.identity)).allowed


def test_scopes_narrow_roles_and_never_widen_them() -> None:
    narrow = holder("admin", scopes=frozenset({"predict"}))
    assert may(narrow, "predict", Target("acme", "route")).allowed
    refused = may(narrow, "approve", Target("acme", "model"))
    assert not refused.allowed
    assert "scopes of this key (predict) leave out approve" in refused.reason
    wide = holder("viewer", scopes=frozenset(SCOPES))
    assert not may(wide, "approve", Target("acme", "model")).allowed
    assert not may(holder("admin", scopes=frozenset()), "read", Target("acme", "model")).allowed


def test_a_list_needs_a_role_in_one_workspace() -> None:
    assert may_anywhere(holder("viewer"), "read", "model").allowed
    assert not may_anywhere(holder("caller"), "read", "model").allowed
