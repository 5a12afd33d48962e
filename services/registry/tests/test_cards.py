"""The card of a version: recorded facts, prose in revisions, frozen at the approval."""

import json

import pytest
import yaml

from modelyard import ApiError
from modelyard_contracts import Verdict, VersionStage
from modelyard_contracts.card import CardProse
from modelyard_contracts.manifest import Permissions, Source, digest_of

from .conftest import World, evaluation, manifest_of
from .test_diff import register

PROSE = CardProse(intended_use="Prices of the next hour.", limitations="Not for | holidays.")
SOURCE = Source(
    kind="hub",
    format="safetensors",
    framework="transformers 4.57.1",
    uri="org/model",
    revision="abc123",
    license="apache-2.0",
    base_model="org/base",
)


def given(world: World) -> None:
    world.client.create_model("elec", owner="grid team", description="Price goes up or down")
    permissions = Permissions(network=True, reason="reads the calendar")
    manifest = manifest_of("elec", m=b"m").model_copy(update={"source": SOURCE, "permissions": permissions})
    world.client.put_blob(b"m")
    world.client.create_version(manifest, idempotency_key="k")
    world.client.finalize_version("elec", 1)


def test_a_card_has_the_recorded_facts(world: World) -> None:
    given(world)
    measured = {
        "challenger_latency_ms_p95": 1.25,
        "challenger_memory_mib": 210.0,
        "challenger_value": 0.91,
        "rows": 500,
    }
    world.deliver(evaluation(world.client.version("elec", 1), Verdict.REJECT, **measured))
    card = world.client.card_document("elec", 1).card
    assert (card.owner, card.license, card.framework, card.flavour) == (
        "grid team",
        "apache-2.0",
        "transformers 4.57.1",
        "sklearn",
    )
    assert card.evaluation is not None and card.scan is not None
    assert (card.evaluation.verdict, card.evaluation.value, card.evaluation.latency_ms_p95) == ("reject", 0.91, 1.25)
    assert (card.scan.verdict, card.files, card.size_bytes) == ("safe_format", 1, 1)
    text = world.client.card("elec", 1)
    for words in (
        "# elec version 1",
        "- owner: grid team",
        "| price | number | may be missing |",
        "- classes: down, up",
        "- verdict: reject at 2026-01-01",
        "- latency p95: 1.25 ms",
        "- memory: 210 MiB",
        "- permissions: network (reads the calendar)",
        "- scan: safe_format by rules 1",
        "- revision: abc123",
        "- accuracy: 0.9",
    ):
        assert words in text


def test_the_front_matter_has_the_keys_of_the_hub(on_sqlite: World) -> None:
    given(on_sqlite)
    found = yaml.safe_load(on_sqlite.client.card("elec", 1, format="yaml"))
    assert (found["license"], found["library_name"], found["base_model"]) == ("apache-2.0", "transformers", "org/base")
    assert (found["pipeline_tag"], found["metrics"]) == ("tabular-classification", ["accuracy"])
    assert found["model-index"][0]["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.9}]
    text = on_sqlite.client.card("elec", 1)
    assert yaml.safe_load(text.split("---\n")[1]) == found


def test_prose_is_edited_in_revisions_with_a_reason(world: World) -> None:
    given(world)
    made = world.client.edit_card("elec", 1, PROSE, expected_revision=0, reason="first text")
    assert (made.revision, made.prose) == (1, PROSE)
    assert world.client.edit_card("elec", 1, PROSE, expected_revision=1, reason="again").revision == 1
    with pytest.raises(ApiError, match="is at revision 1, not 0") as refused:
        world.client.edit_card("elec", 1, CardProse(), expected_revision=0, reason="late")
    assert (refused.value.status, refused.value.code) == (409, "stale_card")
    world.client.edit_card("elec", 1, CardProse(notes="x"), expected_revision=1, reason="shorter")
    assert [(one.revision, one.reason) for one in world.client.card_revisions("elec", 1)] == [
        (2, "shorter"),
        (1, "first text"),
    ]
    line = world.client.history("elec")[-1]
    assert (line.change, line.version, line.reason, line.detail) == ("card_edited", 1, "shorter", {"revision": 2})
    assert "## Notes\n\nx" in world.client.card("elec", 1)


def test_an_approval_freezes_the_card_and_later_edits_are_shown_as_such(world: World) -> None:
    given(world)
    world.client.edit_card("elec", 1, PROSE, expected_revision=0, reason="first text")
    with pytest.raises(ApiError) as early:
        world.client.released_card("elec", 1)
    assert early.value.code == "card_not_released"
    assert world.client.version("elec", 1).card_digest is None
    world.deliver(evaluation(world.client.version("elec", 1), Verdict.DEPLOY))
    approved = world.client.version("elec", 1)
    assert approved.stage is VersionStage.APPROVED and approved.card_digest is not None
    assert not world.client.card_document("elec", 1).edited_after_release

    world.client.edit_card("elec", 1, CardProse(notes="late"), expected_revision=1, reason="after release")
    now = world.client.card_document("elec", 1)
    assert now.edited_after_release and now.release is not None
    assert (now.release.digest, now.release.prose_revision) == (approved.card_digest, 1)
    frozen = world.client.released_card("elec", 1)
    assert (frozen.prose, frozen.stage) == (PROSE, "approved")
    bytes_ = world.client.request("GET", "/v1/models/elec/versions/1/card/released").content
    assert digest_of(bytes_) == approved.card_digest
    assert "was changed after the version was approved" in world.client.card("elec", 1)
    world.client.reject("elec", 1, "no", expected_stage=VersionStage.APPROVED)
    world.client.approve("elec", 1, "back")
    assert world.client.version("elec", 1).card_digest == approved.card_digest


def test_texts_of_others_start_no_element_of_the_card(on_sqlite: World) -> None:
    source = SOURCE.model_copy(update={"uri": "x\n# Approved | by <b>all</b>", "license": "a: b\n- c"})
    register(on_sqlite, manifest_of("elec", m=b"m").model_copy(update={"source": source}), m=b"m")
    text = on_sqlite.client.card("elec", 1)
    assert "\n# Approved" not in text and "<b>" not in text
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "a: b\n- c"


def test_the_prose_of_two_versions_is_in_their_diff(on_sqlite: World) -> None:
    on_sqlite.given_version()
    on_sqlite.given_version()
    on_sqlite.client.edit_card("elec", 2, PROSE, expected_revision=0, reason="text")
    assert "+Prices of the next hour." in on_sqlite.client.diff("elec", 1, 2).card


def test_a_section_that_is_too_long_is_refused_with_its_name(on_sqlite: World) -> None:
    given(on_sqlite)
    body = {"notes": "x" * 20_001, "expected_revision": 0, "reason": "long"}
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.request("PUT", "/v1/models/elec/versions/1/card", json=body)
    assert (refused.value.status, refused.value.field) == (422, "notes")
    assert json.loads(on_sqlite.client.request("GET", "/v1/models/elec/versions/1/card?format=json").text)["card"]


def test_the_bill_of_materials_has_files_licence_and_scan(on_sqlite: World) -> None:
    given(on_sqlite)
    found = on_sqlite.client.bom("elec", 1)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    model = found["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "elec", "1")
    hashes = [one["hashes"][0]["content"] for one in found["components"] if one["name"] == "m"]
    assert hashes == [digest_of(b"m").removeprefix("sha256:")]
    assert on_sqlite.client.bom("elec", 1) == found
