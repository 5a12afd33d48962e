"""The page of one model: what a first request needs, and buttons that can work."""

import html
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard_console.domain.examples import input_fields, predict_command
from modelyard_contracts.manifest import FileEntry, ManifestFile, ModelManifest, TrainingLineage, signed
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task
from modelyard_devstack.testing.openai import bought_manifest

from .conftest import World
from .test_routes import HOSTILE, leaf, manifest, route

AT = "2026-11-29T11:00:00Z"
COLUMNS = ({"name": "age", "type": "integer"}, {"name": "plan", "type": "category"})


def version(number: int, stage: str, **fields: Any) -> dict[str, Any]:
    known = {"model": "churn", "version": number, "digest": "d", "stage": stage, "created_at": AT}
    return {**known, "created_by": "anna", "correlation_id": "c", **fields}


def traffic(**row: Any) -> dict[str, Any]:
    item = {"at": AT, "version": 1, "variant": "stable", "predictions": 5, "errors": 0, **row}
    return {"model": "churn", "bucket_s": 60, "items": [item] if row else []}


def given(world: World, *versions: dict[str, Any]) -> None:
    world.answers.add("/v1/models/churn/versions", {"items": versions, "next_after": None})


@pytest.fixture
def served(world: World) -> World:
    """A model whose version 1 serves and has had no request."""
    info = {"name": "churn", "revision": 1, "latest_version": 1, "created_at": AT, "aliases": {"champion": 1}}
    world.answers.add("/v1/models/churn", info)
    given(world, version(1, "live"))
    world.answers.add("/v1/models/churn/traffic", traffic())
    world.answers.add("/v1/rollouts", {"items": []})
    world.answers.add("/v1/routes/churn", route(plan={"root": leaf(1)}))
    world.answers.add("/v1/models/churn/versions/1/manifest", manifest(*COLUMNS))
    world.sign_in()
    return world


def page_of(world: World) -> str:
    return str(world.browser.get("/models/churn").text)


def test_a_model_without_requests_shows_the_command_with_its_columns_and_the_form_that_sends_one(
    served: World,
) -> None:
    page = page_of(served)
    assert "modelyard predict churn age=35 plan=gold" in page
    assert 'href="/routes/churn/try">Send a request</a>' in page


def test_the_command_is_not_read_again_once_requests_arrive(served: World) -> None:
    served.answers.add("/v1/models/churn/traffic", traffic(predictions=5))
    assert 'href="/routes/churn/try"' in page_of(served)
    assert not [one for one in served.answers.asked if one.url.path.endswith("/manifest")]


@pytest.mark.parametrize("found", [None, route(plan=None, problem="no version may serve")])
def test_a_model_that_does_not_serve_offers_no_request(served: World, found: Any) -> None:
    served.answers.given.pop(("GET", "/v1/routes/churn"))
    if found:
        served.answers.add("/v1/routes/churn", found)
    page = page_of(served)
    assert "Send a request" not in page and "modelyard predict" not in page
    assert "It answers requests when a version serves." in page


def test_a_text_that_looks_like_a_number_and_odd_names_are_quoted_in_the_command() -> None:
    columns = (Column(name="zip code", type=ColumnType.CATEGORY), Column(name="ok", type=ColumnType.BOOLEAN))
    signature = Signature(columns=columns, output=Output(task=Task.BINARY, classes=("no", "yes")))
    written = ManifestFile.write(
        ModelManifest(
            model="m",
            flavour="skops",
            files=(FileEntry(path="m", digest=f"sha256:{'b' * 64}", size_bytes=1),),
            **signed(signature),
            training=TrainingLineage(recipe="elsewhere"),
        )
    )
    fields = input_fields(ModelManifest.model_validate(json.loads(written.data)))
    numbered = (type(fields[0])("zip code", ColumnType.CATEGORY, "08001"), fields[1])
    quoted = (type(fields[0])("zip code", ColumnType.CATEGORY, "1"),)
    assert predict_command("m", numbered) == "modelyard predict m 'zip code=08001' ok=true"
    assert predict_command("m", quoted) == """modelyard predict m 'zip code="1"'"""


def test_columns_of_a_hostile_name_are_shown_as_text(served: World) -> None:
    served.answers.add("/v1/models/churn/versions/1/manifest", manifest({"name": HOSTILE, "type": "number"}))
    page = page_of(served)
    assert HOSTILE not in page and html.escape("<script>") in page


@pytest.mark.parametrize(("named", "linked"), [("provider", True), ("acme:provider", True), ("", False)])
def test_the_page_of_a_bought_version_leads_to_its_connection(
    world: World, tmp_path: Path, named: str, linked: bool
) -> None:
    bought = bought_manifest(tmp_path, named).model_copy(update={"model": "acme:help"})
    file = ManifestFile.write(bought)
    answer = httpx.Response(200, content=file.data, headers={"x-modelyard-digest": file.digest})
    world.answers.add("/v1/models/acme:help/versions/1", version(1, "evaluated", model="acme:help"))
    world.answers.add("/v1/models/acme:help/versions/1/manifest", answer)
    world.sign_in()
    page = world.browser.get("/models/acme:help/versions/1").text
    assert ('href="/admin/connections/acme%3Aprovider"' in page) is linked


def test_rolling_back_needs_an_earlier_version_that_may_serve_or_an_open_rollout(served: World) -> None:
    assert "/rollback" not in page_of(served)
    given(served, version(1, "live"), version(2, "rejected"))
    assert "/rollback" not in page_of(served)
    given(served, version(1, "live"), version(2, "approved"))
    assert "/rollback" in page_of(served)
    given(served, version(1, "live"))
    moving = {"rollout_id": "r", "model": "churn", "action": "start", "state": "shifting", "to_version": 2}
    served.answers.add("/v1/rollouts", {"items": [{**moving, "created_at": AT}]})
    assert "/rollback" in page_of(served)


def test_the_button_stays_while_it_is_not_known_whether_it_can_work(served: World) -> None:
    served.answers.given.pop(("GET", "/v1/models/churn/versions"))
    assert "/rollback" in page_of(served)


def test_retraining_without_any_labelled_row_says_why_it_fails(served: World) -> None:
    why = "without labelled rows the run fails"
    assert why not in page_of(served), "a version trained here has a dataset"
    given(served, version(1, "live", source_kind="upload"))
    assert why in page_of(served)
    served.answers.add("/v1/models/churn/traffic", traffic(labelled=3))
    assert why not in page_of(served)
    served.answers.away.add("monitor")
    assert why not in page_of(served), "it is not known"


def test_the_buttons_follow_the_state_of_the_model(served: World) -> None:
    assert re.search(r'id="actions"[^>]*data-live="model rollout" data-model="churn"', page_of(served))


def test_labels_that_do_not_match_are_shown_with_the_remedy(served: World) -> None:
    path = "/v1/models/churn/labels/rejected"
    assert "do not match" not in page_of(served), "the monitor has no answer"
    none = {"model": "churn", "since": AT, "labels": 0, "reasons": {}, "texts": [], "remedy": ""}
    served.answers.add(path, none)
    assert "do not match" not in page_of(served)
    texts = [{"text": HOSTILE, "reason": "unknown_class", "labels": 7}]
    reasons = {"unknown_class": 7, "wrong_kind": 2}
    remedy = "send one of the classes 'no', 'yes'"
    served.answers.add(path, {**none, "labels": 9, "reasons": reasons, "texts": texts, "remedy": remedy})
    page = page_of(served)
    shown = html.unescape(page)
    assert (
        "do not match the model and are not counted: 9, of which with a class that the model does not know: 7" in shown
    )
    assert f"Remedy: {remedy}." in shown
    assert 'href="/alarms?model=churn&kind=labels_do_not_match"' in shown
    assert HOSTILE not in page
