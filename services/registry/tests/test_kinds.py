"""One core for all kinds: models, datasets and prompts differ in one small strategy each."""

from typing import Any

import pytest

from modelyard import ApiError
from modelyard_contracts import ResourceChange, VersionStage
from modelyard_contracts.manifest import digest_of
from modelyard_contracts.policies import GatePolicy
from modelyard_registry.domain.kinds import KINDS

from .conftest import World, manifest_of

S = VersionStage
PROMPT = {"prompt": "greeting", "template": "Hello {{name}}, {{ question }}", "variables": ["name", "question"]}


def dataset_manifest(data: bytes, **fields: Any) -> dict[str, Any]:
    file = {"path": "rows.parquet", "digest": digest_of(data), "size_bytes": len(data)}
    return {"dataset": "clicks", "files": [file], "rows": 3, "columns": {"price": "double"}, **fields}


def register(world: World, kind: str, name: str, manifest: dict[str, Any], key: str = "k") -> dict[str, Any]:
    world.client.post(f"/v1/{kind}s", {"name": name})
    path = f"/v1/{kind}s/{name}/versions"
    made = world.client.post(path, {"manifest": manifest, "idempotency_key": key})
    version: dict[str, Any] = world.client.post(f"{path}/{made['version']}/finalize")
    return version


def given(world: World, kind: str) -> dict[str, Any]:
    if kind == "model":
        world.client.put_blob(b"weights")
        return register(world, kind, "elec", manifest_of("elec", m=b"weights").model_dump(mode="json"))
    if kind == "dataset":
        world.client.put_blob(b"rows")
        return register(world, kind, "clicks", dataset_manifest(b"rows"))
    return register(world, kind, "greeting", PROMPT)


@pytest.mark.parametrize(("kind", "stage"), [("model", S.REGISTERED), ("dataset", S.APPROVED), ("prompt", S.APPROVED)])
def test_a_version_of_any_kind_is_registered_and_gated_by_its_kind(world: World, kind: str, stage: S) -> None:
    version = given(world, kind)
    assert (version["kind"], version["version"], version["stage"]) == (kind, 1, stage)
    path = f"/v1/{kind}s/{version['model']}"
    manifest = world.client.request("GET", f"{path}/versions/1/manifest").content
    assert digest_of(manifest) == version["digest"]
    events = [event for event in world.queued() if event.kind == kind]
    assert {event.name for event in events} == {version["model"]}
    assert events[0].change is ResourceChange.CREATED
    assert [event.revision for event in events] == list(range(1, len(events) + 1))
    history = world.client.get(f"{path}/history")["items"]
    assert [entry["event_id"] for entry in history] == [str(event.event_id) for event in events]


def test_the_key_of_an_event_tells_kinds_apart(on_sqlite: World) -> None:
    for kind in KINDS:
        given(on_sqlite, kind)
    keys = {event.kind: event.key for event in on_sqlite.queued()}
    assert keys == {"model": "elec", "dataset": "dataset/clicks", "prompt": "prompt/greeting"}


@pytest.mark.parametrize("kind", list(KINDS))
def test_aliases_and_decisions_work_for_every_kind(world: World, kind: str) -> None:
    version = given(world, kind)
    path = f"/v1/{kind}s/{version['model']}"
    body = {"version": 1, "expected_generation": 0, "reason": "try it"}
    moved = world.client.request("PUT", f"{path}/aliases/candidate", json=body).json()
    assert (moved["alias"], moved["version"], moved["generation"]) == ("candidate", 1, 1)
    with pytest.raises(ApiError, match="still has the alias candidate"):
        world.client.post(f"{path}/versions/1/retire", {"reason": "old"})
    world.client.request("DELETE", f"{path}/aliases/candidate", params={"expected_generation": 1, "reason": "done"})
    assert world.client.post(f"{path}/versions/1/retire", {"reason": "old"})["stage"] == "retired"


@pytest.mark.parametrize("kind", ["dataset", "prompt"])
def test_a_manual_gate_leaves_the_approval_to_a_person(on_sqlite: World, kind: str) -> None:
    name = {"dataset": "clicks", "prompt": "greeting"}[kind]
    on_sqlite.client.post(f"/v1/{kind}s", {"name": name})
    document = GatePolicy(approval="manual").model_dump(mode="json")
    on_sqlite.client.request("PUT", f"/v1/{kind}s/{name}/policies/gate", json={"document": document})
    assert given(on_sqlite, kind)["stage"] == S.EVALUATED
    approved = on_sqlite.client.post(f"/v1/{kind}s/{name}/versions/1/approve", {"reason": "read it"})
    assert approved["stage"] == S.APPROVED


def test_the_champion_of_a_prompt_is_moved_by_people_because_nothing_serves_it(on_sqlite: World) -> None:
    given(on_sqlite, "prompt")
    body = {"version": 1, "expected_generation": 0, "reason": "the best one"}
    moved = on_sqlite.client.request("PUT", "/v1/prompts/greeting/aliases/champion", json=body).json()
    assert moved["version"] == 1


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_renders_a_card(on_sqlite: World, kind: str) -> None:
    version = given(on_sqlite, kind)
    card = on_sqlite.client.request("GET", f"/v1/{kind}s/{version['model']}/versions/1/card").text
    assert f"# {version['model']} version 1\n" in card and version["digest"] in card
    part = {"model": "| price | number |", "dataset": "- price: double", "prompt": "Hello {{name}}"}
    assert part[kind] in card


@pytest.mark.parametrize("kind", ["dataset", "prompt"])
def test_a_policy_that_a_kind_does_not_have_is_not_found(on_sqlite: World, kind: str) -> None:
    version = given(on_sqlite, kind)
    with pytest.raises(ApiError, match=f"a {kind} has no policy 'rollout'; it has gate") as refused:
        on_sqlite.client.get(f"/v1/{kind}s/{version['model']}/policies/rollout")
    assert refused.value.status == 404


@pytest.mark.parametrize(
    ("kind", "manifest", "field"),
    [
        ("prompt", {**PROMPT, "variables": ["name"]}, "manifest"),
        ("prompt", {**PROMPT, "variables": ["name", "question", "more"]}, "manifest"),
        ("prompt", {**PROMPT, "template": ""}, "manifest.template"),
        ("prompt", {**PROMPT, "prompt": "farewell"}, "manifest.prompt"),
        ("prompt", {**PROMPT, "surprise": 1}, "manifest.surprise"),
        ("dataset", dataset_manifest(b"", rows=2**64), "manifest.rows"),
        ("dataset", dataset_manifest(b"", files=[]), "manifest.files"),
        ("dataset", dataset_manifest(b"", kind="model"), "manifest.kind"),
    ],
)
def test_a_manifest_that_its_kind_does_not_take_is_refused(
    on_sqlite: World, kind: str, manifest: dict[str, Any], field: str
) -> None:
    name = {"dataset": "clicks", "prompt": "greeting"}[kind]
    with pytest.raises(ApiError) as refused:
        register(on_sqlite, kind, name, manifest)
    assert (refused.value.status, refused.value.field) == (422, field)


def test_a_dataset_file_is_registered_in_one_step_and_found_by_its_digest(world: World) -> None:
    world.client.create_model("elec")
    digest = world.client.put_blob(b"rows")
    made = world.client.create_dataset(
        digest, "Window of elec, 4,000 rows", rows=3, size_bytes=4, columns={"a": "double"}, model="elec"
    )
    assert (made.name, made.rows, made.model) == ("window-of-elec-4-000-rows", 3, "elec")
    assert world.client.dataset(digest) == made
    again = world.client.create_dataset(digest, "another name", rows=3, size_bytes=4, columns={})
    assert again == made
    assert world.client.get(f"/v1/datasets/{made.name}/versions/1")["stage"] == S.APPROVED
