"""Workspaces, semver labels, tags and the four-eyes rule."""

import pytest

from modelyard import ApiError
from modelyard_contracts import ResourceChange, Verdict, VersionStage
from modelyard_contracts.policies import GatePolicy

from .conftest import World, evaluation, manifest_of

ACME = "acme:elec"


@pytest.fixture
def acme(world: World) -> World:
    world.client.post("/v1/workspaces", {"name": "acme", "description": "The shop", "owner": "ada"})
    return world


def test_a_workspace_is_created_once(acme: World) -> None:
    answer = acme.client.request(
        "POST", "/v1/workspaces", json={"name": "acme", "description": "The shop", "owner": "ada"}
    )
    assert (answer.status_code, answer.json()["name"]) == (200, "acme")
    with pytest.raises(ApiError, match="exists with another owner") as refused:
        acme.client.post("/v1/workspaces", {"name": "acme", "description": "The shop", "owner": "bob"})
    assert (refused.value.status, refused.value.field) == (409, "owner")
    names = [item["name"] for item in acme.client.get("/v1/workspaces")["items"]]
    assert names == ["acme", "default"]
    [created] = [event for event in acme.queued() if event.kind == "workspace"]
    assert (created.workspace, created.name, created.key) == ("acme", "acme", "workspace/acme:acme")


@pytest.mark.parametrize("name", ["", "Acme", "a:b", "-x", "x" * 64, "a.b", "*"])
def test_a_bad_workspace_name_is_refused(on_sqlite: World, name: str) -> None:
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.request("POST", "/v1/workspaces", json={"name": name})
    assert (refused.value.status, refused.value.field) == (422, "name")


def test_equal_names_in_two_workspaces_never_meet(acme: World) -> None:
    mine = acme.given_version(VersionStage.LIVE, model="elec")
    theirs = acme.given_version(VersionStage.REGISTERED, model=ACME)
    assert (mine.version, theirs.version, theirs.model) == (1, 1, ACME)
    assert acme.stage_of(mine) is VersionStage.LIVE and acme.stage_of(theirs) is VersionStage.REGISTERED
    acme.deliver(evaluation(theirs, Verdict.REJECT))
    assert acme.stage_of(mine) is VersionStage.LIVE and acme.stage_of(theirs) is VersionStage.REJECTED
    events = [event for event in acme.queued() if event.model == ACME]
    assert {(event.workspace, event.kind, event.name, event.key) for event in events} == {
        ("acme", "model", "elec", ACME)
    }


def test_a_model_needs_its_workspace(on_sqlite: World) -> None:
    with pytest.raises(ApiError, match="there is no workspace 'nowhere'; create it first") as refused:
        on_sqlite.client.create_model("nowhere:elec")
    assert (refused.value.status, refused.value.code) == (404, "workspace_not_found")


def test_lists_hold_only_what_the_caller_may_read(acme: World) -> None:
    for name in ("b", "acme:a", "a", "acme:b"):
        acme.client.create_model(name)
    assert [model.name for model in acme.client.models()] == ["acme:a", "acme:b", "a", "b"]
    page = acme.client.get("/v1/models", limit=3)
    assert [item["name"] for item in acme.client.get("/v1/models", after=page["next_after"])["items"]] == ["b"]
    assert [item["name"] for item in acme.client.get("/v1/models", workspace="acme")["items"]] == ["acme:a", "acme:b"]
    viewer = acme.client_with(acme.key("viewer", workspace="acme"))
    assert [model.name for model in viewer.models()] == ["acme:a", "acme:b"]
    assert viewer.get("/v1/models", workspace="default")["items"] == []
    assert [item["name"] for item in viewer.get("/v1/workspaces")["items"]] == ["acme"]
    with pytest.raises(ApiError) as refused:
        viewer.model("a")
    assert refused.value.status == 403


def test_a_version_has_a_semver_label_that_never_changes(world: World) -> None:
    one, two = world.given_version(), world.given_version()

    def label(version: int, semver: str) -> str:
        path = f"/v1/models/elec/versions/{version}"
        answer = world.client.request("PATCH", path, json={"semver": semver, "reason": "release"})
        return str(answer.json()["semver"])

    assert label(one.version, "1.0.0") == label(one.version, "1.0.0") == "1.0.0"
    for version, semver, code in ((one.version, "1.0.1", "semver_is_set"), (two.version, "1.0.0", "duplicate_semver")):
        with pytest.raises(ApiError) as refused:
            label(version, semver)
        assert (refused.value.status, refused.value.code) == (409, code)
    assert label(two.version, "2.0.0-rc.1") == "2.0.0-rc.1"
    found = world.client.get("/v1/models/elec/versions", semver="1.0.0")["items"]
    assert [item["version"] for item in found] == [one.version]
    changed = [event for event in world.queued() if event.change is ResourceChange.TAGS_CHANGED]
    assert [(event.version, event.semver) for event in changed] == [(one.version, "1.0.0"), (two.version, "2.0.0-rc.1")]


@pytest.mark.parametrize("semver", ["1", "1.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0 ", "1.0.0\n"])
def test_a_label_that_is_no_semver_is_refused(on_sqlite: World, semver: str) -> None:
    on_sqlite.given_version()
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.request("PATCH", "/v1/models/elec/versions/1", json={"semver": semver})
    assert (refused.value.status, refused.value.field) == (422, "semver")


def test_tags_are_replaced_searched_and_published(world: World) -> None:
    one, two = world.given_version(), world.given_version()
    for version, team in ((one, "shop"), (two, "ads")):
        path = f"/v1/models/elec/versions/{version.version}"
        world.client.request("PATCH", path, json={"tags": {"team": team, "it's": '"quoted"'}, "reason": "owners"})
    found = world.client.get("/v1/models/elec/versions", tag="team=ads")["items"]
    assert [(item["version"], item["tags"]["it's"]) for item in found] == [(two.version, '"quoted"')]
    assert world.client.get("/v1/models/elec/versions", tag='it\'s="quoted"', task="binary")["items"][0]["version"] == 1
    assert world.client.get("/v1/models/elec/versions", task="regression")["items"] == []
    event = world.queued()[-1]
    assert (event.change, event.tags["team"], event.reason) == (ResourceChange.TAGS_CHANGED, "ads", "owners")
    published = len(world.queued())
    path = f"/v1/models/elec/versions/{two.version}"
    world.client.request("PATCH", path, json={"tags": {"team": "ads", "it's": '"quoted"'}})
    assert len(world.queued()) == published
    world.client.request("PATCH", path, json={"tags": {}})
    assert world.client.get("/v1/models/elec/versions", tag="team=ads")["items"] == []


def test_who_registered_a_version_cannot_approve_it(world: World) -> None:
    maker = world.client_with(world.key("developer", "reviewer", name="ada"))
    checker = world.client_with(world.key("reviewer", name="bob"))
    world.client.create_model("elec")
    world.client.set_policy("elec", GatePolicy(approval="manual"))
    maker.put_blob(b"x")
    made = maker.create_version(manifest_of("elec", m=b"x"), idempotency_key="k")
    world.deliver(evaluation(maker.finalize_version("elec", made.version), Verdict.DEPLOY))
    with pytest.raises(ApiError, match="ada registered version 1; the gate policy asks for an approval by another"):
        maker.approve("elec", 1, "mine")
    assert checker.approve("elec", 1, "checked the report").stage is VersionStage.APPROVED
    entry = world.client.history("elec")[-1]
    assert (entry.actor, entry.reason) == ("bob", "checked the report")


def test_a_gate_without_the_rule_lets_one_person_do_both(on_sqlite: World) -> None:
    maker = on_sqlite.client_with(on_sqlite.key("developer", "reviewer", name="ada"))
    on_sqlite.client.create_model("elec")
    on_sqlite.client.set_policy("elec", GatePolicy(approval="manual", four_eyes=False))
    maker.put_blob(b"x")
    made = maker.create_version(manifest_of("elec", m=b"x"), idempotency_key="k")
    on_sqlite.deliver(evaluation(maker.finalize_version("elec", made.version), Verdict.DEPLOY))
    assert maker.approve("elec", 1, "alone").stage is VersionStage.APPROVED
