"""Admin: services, workspaces, keys, roles and the audit log."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from modelyard import ApiKeyInfo
from modelyard_console.domain.care import of_keys
from modelyard_console.domain.roles import expiry_sent, explained_roles, roles_sent, scopes_sent
from modelyard_runtime.access import ROLES, Principal
from modelyard_runtime.errors import Invalid

from .conftest import World

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>"
SERVICES = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")


def key(id_: str = "abc", **fields: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "name": "anna",
        "roles": {"default": ["viewer"]},
        "created_at": NOW - timedelta(days=1),
        **fields,
    }


def given(world: World) -> None:
    world.answers.add(
        "/health/ready", {"ready": True, "checks": {"kafka": {"ok": True, "detail": ""}}, "version": "0.2.0"}
    )
    partition = {"topic": "serving.prediction.logged.v1", "partition": 0, "rows": 5, "lag_records": 12, "lag_s": 3.0}
    consumers = [{"group": "monitor.ingest", "lag_records": 12, "partitions": [partition], "stopped": {}}]
    stored = {"topic": "serving.prediction.logged.v1", "partition": 0, "rows": 5, "distinct_offsets": 5, "newest": NOW}
    world.answers.add("/v1/ingest", {"stored": [stored], "consumers": consumers})
    workspace = {"name": "default", "created_at": NOW}
    items = [workspace, {**workspace, "name": "risk"}]
    world.answers.add("/v1/workspaces", {"items": items, "next_after": None})
    world.answers.add("/v1/models/facets", {"workspace": {"risk": 3}})
    world.answers.add("/v1/keys", {"items": [key(), key("old", revoked_at=NOW), key("due", expires_at=NOW)]})


def change(**fields: Any) -> dict[str, Any]:
    known = {"position": 1, "change": "version_moved", "version": 2, "stage": "approved", "actor": "anna"}
    ids = {"event_id": "e", "correlation_id": "c", "kind": "model", "resource": "elec", "workspace": "default"}
    return {**known, **ids, "reason": "better", "occurred_at": NOW, "recorded_at": NOW, **fields}


def test_each_service_is_shown_ready_or_with_what_is_wrong(world: World) -> None:
    world.sign_in()
    given(world)
    page = world.browser.get("/admin/services").text
    assert page.count("state-ready") == 6
    assert "0.2.0" in page
    assert "3.0 s" in page, "how old the oldest record is that is not stored"
    checks = {"kafka": {"ok": False, "detail": "broker away"}}
    world.answers.add("/health/ready", httpx.Response(503, json={"ready": False, "checks": checks}))
    world.answers.away.add("trainer")
    page = world.browser.get("/admin/services").text
    assert page.count("kafka: broker away") == 5
    assert ">away</span>" in page


def test_the_first_page_names_what_is_there_and_that_nothing_needs_care(world: World) -> None:
    world.sign_in()
    given(world)
    world.answers.add("/v1/dead-letters", {"items": [], "topics": []})
    page = world.browser.get("/admin").text
    assert "Nothing needs care" in page
    assert "6 of 6" in page
    for address in ("/admin/services", "/admin/keys", "/admin/workspaces", "/admin/dead-letters", "/admin/audit"):
        assert f'href="{address}"' in page


def test_the_first_page_lists_what_needs_care_the_urgent_first(world: World) -> None:
    world.sign_in()
    given(world)
    world.answers.add("/v1/keys", {"items": [key("due", name="batch job", expires_at=NOW + timedelta(days=3))]})
    letter = {"topic": "t.v1", "partition": 0, "offset": 1, "position": 0, "reason": HOSTILE, "at": NOW, "bytes": 9}
    letters = {"items": [letter], "topics": [{"topic": "t.v1", "count": 3, "can_resend": True}]}
    world.answers.add("/v1/dead-letters", letters)
    world.answers.add("/health/ready", httpx.Response(503, json={"ready": False, "checks": {"kafka": {"ok": False}}}))
    late = {"topic": "late.v1", "partition": 0, "rows": 5, "lag_records": 12, "lag_s": 300.0}
    stuck = {**late, "topic": "stuck.v1", "lag_s": 0.0}
    stopped = {"stuck.v1[0]": "a record cannot be read"}
    twice = {"topic": "late.v1", "partition": 0, "rows": 5, "distinct_offsets": 4, "newest": NOW}
    group = {"group": "monitor.ingest", "lag_records": 24, "partitions": [late, stuck], "stopped": stopped}
    world.answers.add("/v1/ingest", {"stored": [twice], "consumers": [group]})
    world.answers.away.add("trainer")
    page = world.browser.get("/admin").text
    found = [page.index(text) for text in ("The trainer is away", "monitor.ingest stopped at stuck.v1")]
    found += [page.index("Rows were stored twice"), page.index("3 dead letters at the registry")]
    later = [page.index("monitor.ingest is behind at late.v1"), page.index("The key of batch job ends in 3 days")]
    assert max(found) < min(later)
    assert "The registry is not ready" in page and "kafka: no details" in page
    assert HOSTILE not in page
    assert "Nothing needs care" not in page


def test_keys_that_were_rotated_or_never_end_need_no_care() -> None:
    ends = {"expires_at": NOW + timedelta(days=2)}
    keys = [ApiKeyInfo.model_validate(one) for one in (key("a", **ends), key("b", replaces="a"), key("c"))]
    assert list(of_keys(keys, NOW)) == []
    gone = ApiKeyInfo.model_validate(key("d", **ends, revoked_at=NOW))
    far = ApiKeyInfo.model_validate(key("e", expires_at=NOW + timedelta(days=30)))
    assert list(of_keys([gone, far], NOW)) == []
    soon = ApiKeyInfo.model_validate(key("f", expires_at=NOW + timedelta(hours=2)))
    assert [one.what for one in of_keys([soon], NOW)] == ["The key of anna ends within a day"]


def test_the_lag_is_shown_only_to_those_who_may_read_services(world: World) -> None:
    world.sign_in("viewer-key")
    given(world)
    assert "How far the monitor is behind" not in world.browser.get("/admin/services").text
    assert "Records behind" not in world.browser.get("/admin").text
    assert not any(request.url.path == "/v1/ingest" for request in world.answers.asked)


def test_workspaces_are_listed_with_their_models_and_created(world: World) -> None:
    world.sign_in()
    given(world)
    page = world.browser.get("/admin/workspaces").text
    assert 'href="/models?workspace=risk">3</a>' in page
    world.answers.add("/v1/workspaces", {"name": "acme", "created_at": NOW}, "POST")
    form = {"csrf": world.csrf("/admin/workspaces"), "name": "acme", "owner": "growth"}
    answer = world.browser.post("/admin/workspaces", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin/workspaces")
    sent = [request for request in world.answers.asked if request.method == "POST"][-1]
    assert b'"owner":"growth"' in sent.content.replace(b": ", b":")


def test_a_workspace_that_is_refused_keeps_what_was_typed(world: World) -> None:
    world.sign_in()
    given(world)
    problem = {"title": "Invalid", "detail": "name: use lower-case letters", "field": "name"}
    world.answers.add("/v1/workspaces", httpx.Response(422, json=problem), "POST")
    form = {"csrf": world.csrf("/admin/workspaces"), "name": "Acme!", "description": "of growth"}
    answer = world.browser.post("/admin/workspaces", data=form)
    assert answer.status_code == 422
    for shown in ("use lower-case letters", "Acme!", "of growth"):
        assert shown in answer.text


def test_only_admins_of_all_workspaces_create_one(world: World) -> None:
    world.principals["local-key"] = Principal("lea", "user", {"risk": frozenset({"admin"})})
    world.sign_in("local-key")
    given(world)
    page = world.browser.get("/admin/workspaces").text
    assert "Create a workspace" not in page
    refused = world.browser.post("/admin/workspaces", data={"csrf": world.csrf("/admin/workspaces"), "name": "x"})
    assert refused.status_code == 403


def test_a_new_key_is_shown_once_with_what_it_may_do(world: World) -> None:
    world.sign_in()
    given(world)
    world.answers.add("/v1/keys", key("new", key="my_secret_text", roles={"risk": ["viewer", "caller"]}), "POST")
    form = {"csrf": world.csrf("/admin/keys"), "name": "anna", "expires": "2026-12-31"}
    boxes = {"role/risk/viewer": "yes", "role/risk/caller": "yes", "scope/read": "yes"}
    answer = world.browser.post("/admin/keys", data={**form, **boxes})
    assert answer.status_code == 201
    assert "my_secret_text" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    sent = [request for request in world.answers.asked if request.method == "POST"][-1].content.decode()
    for part in ('"risk":["viewer","caller"]', '"scopes":["read"]', "2027-01-01T00:00:00+00:00"):
        assert part in sent.replace(": ", ":").replace(", ", ","), part
    assert "my_secret_text" not in world.browser.get("/admin/keys").text


def test_a_key_without_a_role_is_not_sent_and_the_form_stays_filled(world: World) -> None:
    world.sign_in()
    given(world)
    form = {"csrf": world.csrf("/admin/keys"), "name": "anna", "scope/read": "yes"}
    answer = world.browser.post("/admin/keys", data=form)
    assert answer.status_code == 422
    assert "check at least one role" in answer.text
    assert 'value="anna"' in answer.text
    assert 'name="scope/read" value="yes" checked' in answer.text
    assert not any(request.method == "POST" for request in world.answers.asked)


def test_keys_are_rotated_and_revoked_and_only_active_ones_can_be(world: World) -> None:
    world.sign_in()
    given(world)
    page = world.browser.get("/admin/keys").text
    assert page.count("/rotate") == page.count("/revoke") == 1
    csrf = world.csrf("/admin/keys")
    world.answers.add("/v1/keys/abc/rotate", key("next", key="my_next_text"), "POST")
    rotated = world.browser.post("/admin/keys/abc/rotate", data={"csrf": csrf, "grace_s": "86400"})
    assert "my_next_text" in rotated.text
    assert b"86400" in world.answers.asked[-1].content
    world.answers.add("/v1/keys/abc", {}, "DELETE")
    answer = world.browser.post("/admin/keys/abc/revoke", data={"csrf": csrf}, follow_redirects=False)
    assert answer.status_code == 303
    assert (world.answers.asked[-1].method, world.answers.asked[-1].url.path) == ("DELETE", "/v1/keys/abc")


def test_those_who_do_not_manage_keys_see_none(world: World) -> None:
    world.sign_in("viewer-key")
    given(world)
    assert world.browser.get("/admin/keys").status_code == 403
    assert "/admin/keys" not in world.browser.get("/admin").text


def test_a_local_admin_can_only_give_roles_in_the_own_workspace(world: World) -> None:
    world.principals["local-key"] = Principal("lea", "user", {"risk": frozenset({"admin"})})
    world.sign_in("local-key")
    given(world)
    page = world.browser.get("/admin/keys").text
    assert 'name="role/risk/viewer"' in page
    assert 'name="role/default/viewer"' not in page
    assert 'name="role/*/viewer"' not in page


def test_every_role_is_explained_from_the_rules() -> None:
    roles = explained_roles()
    assert [role.name for role in roles] == list(ROLES)
    assert all(role.purpose and role.rules for role in roles)
    [reviewer] = [role for role in roles if role.name == "reviewer"]
    assert ("approve", "dataset, model, prompt") in reviewer.rules


def test_roles_are_shown(world: World) -> None:
    world.sign_in("viewer-key")
    page = world.browser.get("/admin/roles").text
    for name in ROLES:
        assert name in page


def test_the_audit_log_is_searched_and_links_to_what_changed(world: World) -> None:
    world.sign_in()
    created = change(
        change="key_created", kind="workspace", resource="risk", version=None, stage=None, detail={"id": "k"}
    )
    world.answers.add("/v1/audit", {"items": [change(), created], "next_after": "cursor"})
    page = world.browser.get("/admin/audit?q=better&actor=anna&since=2026-11-01&until=2026-11-29").text
    for shown in ('href="/models/elec/versions/2"', 'href="/timelines/c"', "key created", "after=cursor", "id: k"):
        assert shown in page, shown
    asked = world.answers.asked[-1].url.params
    assert (asked["q"], asked["actor"], "action" in asked) == ("better", "anna", False)
    assert (asked["since"], asked["until"]) == ("2026-11-01T00:00:00+00:00", "2026-11-30T00:00:00+00:00")


def test_a_day_that_is_none_is_refused_with_the_field(world: World) -> None:
    world.sign_in()
    answer = world.browser.get("/admin/audit?since=yesterday")
    assert (answer.status_code, "since: give a day" in answer.text) == (422, True)


@pytest.mark.parametrize(
    "path", ["/admin", "/admin/services", "/admin/workspaces", "/admin/keys", "/admin/audit", "/admin/roles"]
)
def test_every_admin_page_works_while_all_services_are_away(world: World, path: str) -> None:
    world.sign_in()
    world.answers.away |= set(SERVICES)
    answer = world.browser.get(path)
    assert answer.status_code == 200
    assert path == "/admin/roles" or "away" in answer.text


def test_hostile_texts_are_shown_as_text(world: World) -> None:
    world.sign_in()
    given(world)
    world.answers.add("/v1/keys", {"items": [key(name=HOSTILE, id=HOSTILE, roles={HOSTILE: [HOSTILE]})]})
    items = [{"name": HOSTILE, "description": HOSTILE, "owner": HOSTILE, "created_at": NOW}]
    world.answers.add("/v1/workspaces", {"items": items, "next_after": None})
    world.answers.add(
        "/v1/audit", {"items": [change(actor=HOSTILE, reason=HOSTILE, resource=HOSTILE)], "next_after": None}
    )
    checks = {HOSTILE: {"ok": False, "detail": HOSTILE}}
    world.answers.add("/health/ready", {"ready": False, "checks": checks, "version": HOSTILE})
    for path in ("/admin", "/admin/services", "/admin/workspaces", "/admin/keys", "/admin/audit"):
        answer = world.browser.get(path, params={"q": HOSTILE} if path.endswith("audit") else None)
        assert answer.status_code == 200
        assert HOSTILE not in answer.text, path


def test_what_a_form_sends_becomes_roles_scopes_and_a_moment() -> None:
    assert roles_sent({"role/*/admin": "yes", "role/risk/viewer": "yes", "name": "x"}) == {
        "*": ["admin"],
        "risk": ["viewer"],
    }
    assert (scopes_sent({"scope/read": "yes"}), scopes_sent({})) == (["read"], None)
    assert expiry_sent("", NOW) is None
    assert expiry_sent("2026-11-29", NOW) == datetime(2026, 11, 30, tzinfo=UTC)
    for text in ("2026-11-28", "soon", "9999-12-31"):
        with pytest.raises(Invalid) as refused:
            expiry_sent(text, NOW)
        assert refused.value.field == "expires"
