"""Lists over all resources: search, facets, versions at a stage, the audit list, the caller."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from modelyard import ApiError, HistoryEntry, RegistryClient
from modelyard_contracts import VersionStage
from modelyard_contracts.card import CardProse
from modelyard_contracts.manifest import Source
from modelyard_registry.store import audit

from .conftest import World, manifest_of

LIVE, EVALUATED, REGISTERED = VersionStage.LIVE, VersionStage.EVALUATED, VersionStage.REGISTERED


def names(client: RegistryClient, **asked: Any) -> list[str]:
    return [one.name for one in client.search_models(**asked).items]


def refused_field(client: RegistryClient, path: str, **asked: Any) -> str | None:
    with pytest.raises(ApiError) as refused:
        client.get(path, **asked)
    assert refused.value.status == 422, refused.value
    return refused.value.field


def test_models_are_found_by_a_part_of_their_texts_in_any_case(world: World) -> None:
    world.client.create_model("churn", description="Who leaves next?", owner="Ada", labels={"team": "billing"})
    world.client.create_model("elec", description="50% of prices", owner="grace", labels={"stadt": "Köln"})
    assert names(world.client, q="LEAVES") == ["churn"]
    assert (
        names(world.client, q="ada") == names(world.client, q="chur") == names(world.client, q="Billing") == ["churn"]
    )
    assert names(world.client, q="0%") == names(world.client, q="Köln") == ["elec"]
    assert names(world.client, q="_") == []
    assert names(world.client) == ["churn", "elec"]


def test_models_are_filtered_by_owner_label_stage_alias_flavour_and_task(world: World) -> None:
    world.client.create_model("busy", owner="ada", labels={"team": "a"})
    world.client.create_model("empty", owner="grace", labels={"team": "b"})
    world.given_version(LIVE, "busy")
    world.given_version(REGISTERED, "busy")
    assert names(world.client, owner="grace") == names(world.client, label="team=b") == ["empty"]
    assert names(world.client, stage="live") == names(world.client, stage="registered") == ["busy"]
    assert names(world.client, alias="champion") == names(world.client, task="binary") == ["busy"]
    assert names(world.client, flavour="sklearn", owner="ada", stage=LIVE) == ["busy"]
    assert names(world.client, stage="rejected") == names(world.client, flavour="onnx") == []
    assert names(world.client, flavour="", task="", alias="", owner="", label="") == ["busy", "empty"]
    facets = world.client.get("/v1/models/facets", flavour="")
    assert facets["stage"] == {"live": 1, "registered": 1}


def test_a_listed_model_has_the_figures_of_its_versions(world: World) -> None:
    world.given_version(LIVE, "busy")
    world.given_version(REGISTERED, "busy")
    world.client.create_model("empty")
    busy, empty = world.client.search_models().items
    assert (busy.champion_version, busy.newest_version, busy.versions) == (1, 2, 2)
    assert (busy.stages, busy.flavour, busy.task) == ({"live": 1, "registered": 1}, "sklearn", "binary")
    assert (empty.champion_version, empty.newest_version, empty.versions, empty.stages) == (None, None, 0, {})
    assert (empty.flavour, empty.task) == (None, None)


@pytest.mark.parametrize(("sort", "order"), [("name", "abc"), ("newest", "acb"), ("versions", "bac")])
def test_pages_of_every_order_hold_each_model_once(world: World, sort: Any, order: str) -> None:
    for place, model in enumerate("bca"):
        world.client.create_model(model)
        world.clock.advance(place + 1)
    for model in "bba":
        world.given_version(REGISTERED, model)
    found: list[str] = []
    after: str | None = None
    for _ in order:
        page = world.client.search_models(sort=sort, limit=1, after=after)
        found += [one.name for one in page.items]
        after = page.next_after
    assert ("".join(found), after) == (order, None)


def test_facets_count_what_the_caller_may_read(world: World) -> None:
    world.client.create_model("a", owner="ada")
    world.client.create_model("b", owner="ada")
    world.client.post("/v1/workspaces", {"name": "acme"})
    world.client.create_model("acme:c", owner="grace")
    world.given_version(LIVE, "a")
    world.given_version(REGISTERED, "a")
    world.given_version(REGISTERED, "b")
    found = world.client.model_facets()
    assert (found.owner, found.workspace) == ({"ada": 2, "grace": 1}, {"default": 2, "acme": 1})
    assert (found.stage, found.flavour, found.task) == ({"registered": 2, "live": 1}, {"sklearn": 2}, {"binary": 2})
    assert (found.source, found.scan_verdict) == ({"trained": 2}, {"safe_format": 2})
    mine = world.client_with(world.key("viewer", workspace="acme")).model_facets()
    assert (mine.owner, mine.stage) == ({"grace": 1}, {})
    assert world.client.model_facets("b").owner == {"ada": 1}
    some = world.client.model_facets(only=["workspace", "stage"])
    assert (some.workspace, some.stage) == (found.workspace, found.stage)
    assert some.owner == some.flavour == some.task == {}
    assert world.client.model_facets("b", only=["owner"]).owner == {"ada": 1}


def test_a_search_finds_only_models_that_the_caller_may_read(world: World) -> None:
    world.client.create_model("a")
    world.client.post("/v1/workspaces", {"name": "acme"})
    world.client.create_model("acme:a")
    viewer = world.client_with(world.key("viewer", workspace="acme"))
    assert names(viewer) == names(viewer, q="a") == ["acme:a"]
    assert names(viewer, workspace="default") == []
    assert names(world.client, workspace="acme") == ["acme:a"]


def test_versions_at_a_stage_come_from_all_models_newest_first_with_when_and_why(world: World) -> None:
    first = world.given_version(EVALUATED, "a")
    world.clock.advance(10)
    second = world.given_version(EVALUATED, "b")
    world.given_version(REGISTERED, "b")
    page = world.client.versions_at(limit=1)
    [newest] = page.items
    assert (newest.model, newest.version, newest.digest) == ("b", 1, second.digest)
    assert newest.stage_since is not None
    assert newest.stage_since - newest.created_at < timedelta(seconds=10)
    assert "0.91 against 0.85" in newest.stage_reason
    assert newest.metrics == {"accuracy": 0.9}
    [older] = world.client.versions_at(limit=1, after=page.next_after).items
    assert (older.model, older.digest) == ("a", first.digest)
    assert len(world.client.versions_at("registered").items) == 1
    assert world.client.versions_at(kind="prompt").items == ()


def test_versions_of_workspaces_that_the_caller_may_not_read_are_left_out(world: World) -> None:
    world.client.post("/v1/workspaces", {"name": "acme"})
    world.given_version(EVALUATED, "a")
    world.given_version(EVALUATED, "acme:a")
    viewer = world.client_with(world.key("viewer", workspace="acme"))
    assert [one.model for one in viewer.versions_at().items] == ["acme:a"]


def test_the_audit_list_is_every_change_newest_first_in_pages(world: World) -> None:
    version = world.given_version(EVALUATED, "a")
    world.clock.advance(1)
    world.client.approve("a", version.version, "good enough")
    every = world.client.audit(limit=1_000).items
    assert (every[0].change, every[0].resource, every[0].reason) == ("version_moved", "a", "good enough")
    assert list(every) == sorted(every, key=lambda one: one.recorded_at, reverse=True)
    paged: list[HistoryEntry] = []
    after: str | None = None
    while len(paged) < len(every):
        page = world.client.audit(limit=3, after=after)
        paged += page.items
        after = page.next_after
    assert ([one.event_id for one in paged], after) == ([one.event_id for one in every], None)
    assert {one.event_id for one in world.client.history("a")} <= {one.event_id for one in every}


def test_the_audit_list_is_filtered_by_actor_action_model_text_and_time(world: World) -> None:
    start = world.clock.now
    world.given_version(REGISTERED, "a")
    later = world.clock.advance(60)
    developer = world.client_with(world.key("developer", name="ada"))
    developer.create_model("by-ada")
    [line] = world.client.audit(actor="ada").items
    assert (line.resource, line.actor) == ("by-ada", "ada")
    assert {one.change for one in world.client.audit(action="key_created").items} == {"key_created"}
    assert {one.resource for one in world.client.audit(model="a").items} == {"a"}
    assert {one.resource for one in world.client.audit(q="BY-ADA").items} == {"by-ada"}
    assert {one.resource for one in world.client.audit(since=later).items} == {"by-ada", "default"}
    assert all(one.recorded_at < later for one in world.client.audit(since=start, until=later).items)


def test_a_search_for_a_text_ends_after_a_number_of_lines_and_goes_on_from_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "SEARCHED_LINES", 4)
    world.client.create_model("needle")
    for number in range(9):
        world.client.create_model(f"hay-{number}")
    first = world.client.audit(q="needle")
    assert first.items == () and first.next_after is not None
    found: list[str] = []
    after: str | None = first.next_after
    pages = 1
    while after is not None:
        page = world.client.audit(q="needle", after=after)
        found += [one.resource for one in page.items]
        after, pages = page.next_after, pages + 1
    assert found == ["needle"]
    assert pages >= 3
    assert world.client.audit(q="hay", limit=2).items[0].resource == "hay-8"


def test_key_changes_are_shown_to_those_who_manage_keys_only(world: World) -> None:
    world.client.post("/v1/workspaces", {"name": "acme"})
    world.client.create_model("acme:a")
    world.client.create_model("a")
    viewer = world.client_with(world.key("viewer", workspace="acme", name="vera"))
    admin = world.client_with(world.key("admin", workspace="acme", name="adam"))
    seen, managed = viewer.audit().items, admin.audit().items
    assert {one.workspace for one in seen} == {one.workspace for one in managed} == {"acme"}
    assert not [one for one in seen if one.change.startswith("key_")]
    keys = [one for one in managed if one.change == "key_created"]
    assert {one.detail["identity"] for one in keys} == {"vera", "adam"}
    assert {one.resource for one in seen if one.kind == "model"} == {"acme:a"}
    with pytest.raises(ApiError, match="no role"):
        viewer.audit(model="a")


def test_services_record_who_has_dead_letters_handled_again(world: World) -> None:
    resend = {"topic": "evaluation.run.finished.v1", "through": 7, "reason": "the schema is there", "actor": "ada"}
    monitor = world.client_with(world.key("service-monitor", workspace="*", name="monitor-key"))
    monitor.post("/v1/audit/resends", resend)
    [line] = world.client.audit(action="dead_letters_resent").items
    assert (line.reason, line.resource, line.detail["through"]) == ("the schema is there", "default", 7)
    assert line.detail["topic"] == "evaluation.run.finished.v1"
    assert world.client_with(world.key("viewer", name="vera")).audit(action="dead_letters_resent").items == ()
    for wrong in ({"topic": "a b"}, {"through": -1}, {"reason": ""}, {"actor": ""}):
        with pytest.raises(ApiError) as refused:
            monitor.post("/v1/audit/resends", resend | wrong)
        assert refused.value.status == 422, wrong
    with pytest.raises(ApiError) as forbidden:
        world.client_with(world.key("developer", workspace="*", name="dora")).post("/v1/audit/resends", resend)
    assert forbidden.value.status == 403


def test_a_key_learns_who_holds_it_whatever_its_roles(world: World) -> None:
    expires_at = world.clock.now + timedelta(days=1)
    made = world.client.create_key("bot", {"default": ["caller"]}, scopes=["predict"], expires_at=expires_at)
    assert made.key
    me = world.client_with(made.key).me()
    assert (me.identity, me.kind, me.roles, me.scopes) == ("bot", "user", {"default": ("caller",)}, ("predict",))
    assert me.expires_at == expires_at
    admin = world.client.me()
    assert (admin.identity, admin.kind, admin.expires_at) == ("bootstrap-admin", "bootstrap", None)


def test_the_history_of_a_policy_has_every_revision_with_its_reason(world: World) -> None:
    world.client.create_model("a")
    assert world.client.policy_history("a", "gate") == ()
    policy = world.client.policy("a", "gate")
    world.client.set_policy("a", world.client.policy("a", "rollout"), reason="another kind")
    world.client.set_policy("a", policy.model_copy(update={"approval": "manual"}), reason="people decide")
    world.clock.advance(5)
    world.client.set_policy("a", policy, reason="back again")
    newest, older = world.client.policy_history("a", "gate")
    assert (newest.revision, newest.reason, older.revision, older.reason) == (2, "back again", 1, "people decide")
    assert (older.document["approval"], older.actor) == ("manual", "bootstrap-admin")
    assert newest.set_at > older.set_at
    path = "/v1/models/a/policies/gate/history"
    assert [one["revision"] for one in world.client.get(path, after=2)["items"]] == [1]
    with pytest.raises(ApiError) as unknown:
        world.client.policy_history("a", "taste")
    assert unknown.value.status == 404


@pytest.mark.parametrize(
    ("path", "asked", "field"),
    [
        ("/v1/models", {"label": "team"}, "label"),
        ("/v1/models", {"stage": "asleep"}, "stage"),
        ("/v1/models", {"sort": "colour"}, "sort"),
        ("/v1/models", {"q": "x" * 201}, "q"),
        ("/v1/versions", {"after": "nonsense"}, "after"),
        ("/v1/versions", {"kind": "shape"}, "kind"),
        ("/v1/audit", {"since": "yesterday"}, "since"),
        ("/v1/audit", {"until": "2026-01-01T00:00:00"}, "until"),
        ("/v1/audit", {"after": "MjAyNg=="}, "after"),
        ("/v1/audit", {"model": "A B"}, "model"),
    ],
)
def test_bad_parameters_are_refused_with_the_name_of_the_field(
    on_sqlite: World, path: str, asked: dict[str, Any], field: str
) -> None:
    assert refused_field(on_sqlite.client, path, **asked) == field


def test_datasets_and_prompts_are_searched_like_models(on_sqlite: World) -> None:
    on_sqlite.client.create_resource("prompt", "greeting", description="Say hello")
    found = on_sqlite.client.get("/v1/prompts", q="hello")["items"]
    assert [(one["name"], one["flavour"]) for one in found] == [("greeting", None)]
    assert on_sqlite.client.get("/v1/datasets", q="hello")["items"] == []


def test_a_version_is_found_by_the_start_of_its_digest_and_of_a_files(world: World) -> None:
    version, digest = (made := world.given_version(LIVE, "busy")).version, made.digest
    file = world.client.manifest("busy", version).files[0]
    for asked in (digest, digest.removeprefix("sha256:")[:8]):
        [found] = world.client.find_digest(asked)
        assert (found.model, found.version, found.stage, found.file) == ("busy", version, LIVE, None)
    assert {(one.version, one.file) for one in world.client.find_digest(file.digest)} == {(version, file.path)}
    assert world.client.find_digest("0" * 64) == ()
    assert refused_field(world.client, "/v1/digests/12345") == refused_field(world.client, "/v1/digests/x") == "digest"
    world.client.create_workspace("acme")
    assert world.client_with(world.key("viewer", workspace="acme")).find_digest(digest) == ()


def given_sources(world: World) -> None:
    """`hub` is a transformers model from the hub with accuracy 0.9; `own` was made by a training run."""
    world.client.create_model("hub", owner="ada")
    source = Source(kind="hub", format="safetensors", framework="transformers 4.57", license="mit")
    manifest = manifest_of("hub", m=b"hub").model_copy(update={"source": source})
    world.client.put_blob(b"hub")
    version = world.client.create_version(manifest, idempotency_key="hub")
    world.client.finalize_version("hub", version.version)
    world.given_version(LIVE, "own")


def test_models_are_filtered_by_framework_licence_source_verdict_and_metric(world: World) -> None:
    given_sources(world)
    for asked in ({"framework": "transformers"}, {"license": "mit"}, {"source": "hub"}):
        assert names(world.client, **asked) == ["hub"], asked
    assert names(world.client, source="trained") == ["own"]
    assert names(world.client, scan_verdict="safe_format", metric="accuracy>=0.9") == ["hub", "own"]
    assert names(world.client, metric="accuracy<=0.89") == names(world.client, metric="f1>=0") == []
    assert names(world.client, scan_verdict="malicious") == []


@pytest.mark.parametrize("metric", ["accuracy", "accuracy>0.9", "accuracy>=", "accuracy>=nan", ">=1", "a>=1e5"])
def test_a_malformed_bound_of_a_metric_is_refused(on_sqlite: World, metric: str) -> None:
    assert refused_field(on_sqlite.client, "/v1/models", metric=metric) == "metric"


def test_a_text_is_found_in_cards_and_tags(world: World) -> None:
    given_sources(world)
    world.client.edit_card("hub", 1, CardProse(limitations="Only for Swedish"), expected_revision=0, reason="r")
    world.client.request("PATCH", "/v1/models/own/versions/1", json={"tags": {"season": "Winter"}})
    assert names(world.client, q="swedish") == ["hub"]
    assert names(world.client, q="winter") == ["own"]


def test_the_catalogue_names_models_that_need_care(world: World) -> None:
    given_sources(world)
    world.client.create_model("copy", owner="ada")
    manifest = manifest_of("copy", m=b"hub")
    version = world.client.create_version(manifest, idempotency_key="copy")
    world.client.finalize_version("copy", version.version)
    world.client.edit_card("hub", 1, CardProse(notes="n"), expected_revision=0, reason="r")
    found = {one.model: one for one in world.client.catalogue_problems()}
    flags = {name: (one.no_owner, one.no_card, one.never_live, one.duplicate) for name, one in found.items()}
    assert flags == {
        "copy": (False, True, True, True),
        "hub": (False, False, True, True),
        "own": (True, True, False, False),
    }
    page = world.client.get("/v1/catalogue/problems", limit=1)
    assert (len(page["items"]), page["next_after"]) == (1, "copy")
    world.client.post("/v1/workspaces", {"name": "acme"})
    viewer = world.client_with(world.key("viewer", workspace="acme"))
    assert viewer.catalogue_problems() == ()


def test_the_numbers_of_stages_follow_every_move(world: World) -> None:
    world.given_version(LIVE, "a")
    world.given_version(LIVE, "a")
    query = "SELECT s.stage, s.versions, (SELECT count(*) FROM versions v WHERE v.stage = s.stage) FROM stage_counts s"
    with world.registry.database.read() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    assert {stage: count for stage, count, _ in rows if count} == {"live": 1, "approved": 1}
    assert all(count == counted for _, count, counted in rows)
