"""Importing a model from a hub: what would be downloaded, the download and its faults, then the steps of an upload."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import save

from modelyard_console.app import build
from modelyard_console.clients.hubs import Hubs
from modelyard_console.domain.imports import MAX_PATTERNS, patterns, problem_field, problem_words
from modelyard_console.live.jobs import Jobs
from modelyard_console.pages.components import HOSTILE
from modelyard_console.settings import Settings
from modelyard_devstack.testing.hub import COMMIT, FakeHub, Repo, fake_hub
from modelyard_own.remote import connection
from modelyard_runtime.access import Principal
from modelyard_runtime.errors import StartupError

from .conftest import World, press, waited_within
from .test_register_models import accept_models, ended, scanned, sent_to

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 8}
WEIGHTS = save({"w": np.arange(20_000, dtype=np.float32)})
FILES = {
    "config.json": json.dumps(CONFIG).encode(),
    "tokenizer.json": b'{"model": {"vocab": {"a": 0}}}',
    "model.safetensors": WEIGHTS,
    "README.md": b"# A model",
    "pytorch_model.bin": WEIGHTS,
    f"{HOSTILE}.json": b"{}",
    "../outside.json": b"{}",
    "modelyard.yaml": b"sample: /etc/passwd",
}
TEXTS = b"text\n" + b"where is my parcel\n" * 20
CARD = {"license": "apache-2.0", "base_model": ["org/base"]}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub whose address is a setting of the console; it pauses for no time between attempts."""
    monkeypatch.setattr(connection, "FIRST_PAUSE_S", 0.0)
    with fake_hub(org__model=Repo(dict(FILES), dict(CARD)), org__gated=Repo(dict(FILES), gated=True)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting models may take as much as one import and a half."""
    monkeypatch.setenv("CONSOLE_MAX_MODEL_UPLOADS_BYTES", "130000")


@pytest.fixture
def ready(hub: FakeHub, world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    accept_models(world, monkeypatch, scanned("safe_format"))
    return world


def ask(world: World, **form: str) -> Any:
    data = {"csrf": world.csrf(), "hub": "hf", "repo": "org/model", "model": "rules", **form}
    files = [("sample", ("texts.csv", TEXTS))]
    return world.browser.post("/models-import/list", data=data, files=files, follow_redirects=False)


def listed(world: World, **form: str) -> str:
    """The address of the page that shows what would be downloaded."""
    found = ask(world, **form)
    assert found.status_code == 303, found.text
    return str(found.headers["location"])


def waited(world: World, page: str, *shown: str) -> str:
    return waited_within(20, world, page, *shown)


def imported(world: World, **form: str) -> str:
    """The address of the preview of an import whose files have arrived."""
    page = listed(world, **form)
    assert press(world, page, "start").status_code == 303
    waited(world, page, "Check how it is understood")
    return page.replace("/models-import/repositories/", "/models-register/files/")


@pytest.mark.parametrize("hub_name", ["hf", "modelscope"])
def test_the_page_shows_what_would_be_downloaded_and_downloads_nothing(
    ready: World, hub: FakeHub, hub_name: str
) -> None:
    text = ready.browser.get(listed(ready, hub=hub_name)).text
    for shown in (COMMIT, "apache-2.0", "model.safetensors", "of 8", "a pickle, which is never loaded"):
        assert shown in text, shown
    assert "<script>document" not in text and "its name has other characters" in text
    assert not hub.downloads("model.safetensors")


def test_an_import_ends_as_a_registered_version_with_its_origin(ready: World, hub: FakeHub) -> None:
    preview = imported(ready, task="text")
    text = ready.browser.get(preview).text
    assert f'href="{hub.url}/org/model"' in text and "That of the hub without it: apache-2.0" in text
    assert ">Register</button>" in text, text
    form = {"csrf": ready.csrf(preview), "model": "rules", "task": "text"}
    found = ready.browser.post(f"{preview}/start", data=form, follow_redirects=False)
    assert found.headers.get("location") == f"{preview}/progress", found.text
    assert "rules version 1" in ended(ready, preview)
    [created] = sent_to(ready, "/v1/models/rules/versions")
    manifest = json.loads(created["manifest"])
    source = manifest["source"]
    assert (source["kind"], source["uri"], source["revision"]) == ("hub", f"{hub.url}/org/model", COMMIT)
    assert (source["license"], source["base_model"]) == ("apache-2.0", "org/base")
    paths = {file["path"] for file in manifest["files"]}
    assert paths == {"config.json", "tokenizer.json", "model.safetensors", "modelyard-example.json"}
    assert not list((ready.folder / "models").rglob("model.safetensors")), "the registry has the files"


def test_two_imports_of_one_commit_make_the_same_manifest(ready: World) -> None:
    manifests = []
    for _ in range(2):
        preview = imported(ready, task="text")
        form = {"csrf": ready.csrf(preview), "model": "rules", "task": "text"}
        ready.browser.post(f"{preview}/start", data=form)
        ended(ready, preview)
        manifests.append(sent_to(ready, "/v1/models/rules/versions")[-1]["manifest"])
    assert manifests[0] == manifests[1]


def test_other_files_in_place_of_those_of_the_hub_lose_its_origin(ready: World) -> None:
    preview = imported(ready, task="text")
    form = {"csrf": ready.csrf(preview), "upload_id": preview.rpartition("/")[2]}
    upload = "/models-register/upload"
    sample = [("sample", ("other.csv", TEXTS))]
    again = ready.browser.post(upload, data=form, files=sample, follow_redirects=False).headers["location"]
    assert COMMIT[:8] in ready.browser.get(again).text, "another sample changes no origin"
    form["upload_id"] = again.rpartition("/")[2]
    files = [("files", ("config.json", json.dumps(CONFIG).encode())), ("files", ("model.safetensors", WEIGHTS))]
    other = ready.browser.post(upload, data=form, files=files, follow_redirects=False).headers["location"]
    text = ready.browser.get(other).text
    assert COMMIT[:8] not in text and "apache-2.0" not in text


def test_a_cut_connection_is_resumed(ready: World, hub: FakeHub) -> None:
    hub.cuts = 3
    imported(ready, exclude="*.json")
    resumed = [call.headers["range"] for call in hub.downloads("model.safetensors") if "range" in call.headers]
    assert len(resumed) == 3


def test_a_hub_that_keeps_cutting_is_a_failure_that_continues_where_it_ended(ready: World, hub: FakeHub) -> None:
    hub.cuts = 1_000
    page = listed(ready)
    press(ready, page, "start")
    text = waited(ready, page, ">Continue<")
    assert "are here" in text and ready.browser.get(preview_of(page), follow_redirects=False).status_code == 303
    hub.cuts = 0
    hub.calls.clear()
    press(ready, page, "start")
    waited(ready, page, "Check how it is understood")


def preview_of(page: str) -> str:
    return page.replace("/models-import/repositories/", "/models-register/files/")


def test_wrong_bytes_are_named_and_never_registered(ready: World, hub: FakeHub) -> None:
    hub.wrong = 1_000
    page = listed(ready)
    press(ready, page, "start")
    assert "The hub sent other bytes than it states" in waited(ready, page, ">Continue<")
    found = ready.browser.get(preview_of(page), follow_redirects=False)
    assert found.headers["location"] == page
    begun = ready.browser.post(
        f"{preview_of(page)}/start", data={"csrf": ready.csrf(), "model": "rules"}, follow_redirects=False
    )
    assert begun.headers["location"] == page and not sent_to(ready, "/v1/models/rules/versions")


def test_a_download_is_stopped_and_continued(ready: World, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_PAUSE_S", 60.0)
    page = listed(ready)
    hub.cuts = 1_000
    press(ready, page, "start")
    waited(ready, page, "Cancel")
    assert press(ready, page, "cancel").status_code == 303
    assert "It was stopped" in waited(ready, page, ">Continue<")
    hub.cuts = 0
    press(ready, page, "start")
    waited(ready, page, "Check how it is understood")


def test_a_download_that_a_restart_interrupted_is_continued(ready: World, hub: FakeHub) -> None:
    page = listed(ready)
    note = ready.folder / "models" / page.rpartition("/")[2] / "download.json"
    note.write_text(json.dumps({"key": None, "result": {"state": "running", "text": "downloading"}}))
    assert "The console was restarted" in ready.browser.get(page).text
    press(ready, page, "start")
    waited(ready, page, "Check how it is understood")


def test_what_was_downloaded_is_discarded(ready: World, hub: FakeHub) -> None:
    hub.wrong = 1_000
    page = listed(ready)
    press(ready, page, "start")
    waited(ready, page, ">Discard<")
    assert press(ready, page, "discard").headers["location"] == "/models-import"
    assert ready.browser.get(page).status_code == 404
    assert not list((ready.folder / "models").iterdir())


@pytest.mark.parametrize(
    ("form", "field", "problem"),
    [
        ({"repo": "org/none"}, "repo", "check the name, or set HF_TOKEN"),
        ({"repo": "org/gated"}, "repo", "HF_TOKEN is a setting of the console"),
        ({"repo": "../../etc"}, "repo", "is no repository; write ORG/NAME"),
        ({"repo": "evil.example:80/x"}, "repo", "is no repository"),
        ({"repo": "http://evil.example/x"}, "repo", "is no repository"),
        ({"repo": f"org/{HOSTILE}"}, "repo", "is no repository"),
        ({"repo": ""}, "repo", "fill in this field"),
        ({"revision": "nobranch"}, "repo", "no such repository, revision or file"),
        ({"revision": "a\x00b"}, "revision", "write a branch, a tag or a commit"),
        ({"hub": "https://evil.example"}, "hub", "choose one of the list"),
        ({"model": "My Model"}, "model", "is not a name"),
        ({"exclude": "*"}, "include", "no file is left to import"),
        ({"include": "x " * (MAX_PATTERNS + 1)}, "include", "at most 20 patterns"),
    ],
)
def test_what_cannot_be_imported_is_named_at_its_field(
    ready: World, form: dict[str, str], field: str, problem: str
) -> None:
    found = ask(ready, **form)
    assert found.status_code == 422, found.text
    assert f'id="e-{field}"' in found.text and problem in found.text, found.text
    assert not list((ready.folder / "models").glob("*")), "nothing is stored"


def test_no_field_leads_to_another_host(ready: World, hub: FakeHub) -> None:
    for form in ({"endpoint": "http://169.254.169.254"}, {"hf_endpoint": "http://169.254.169.254"}):
        assert ask(ready, **form).status_code == 303
    assert {call.host for call in hub.calls} == {"hub"}


def test_weights_in_pickles_only_are_refused_in_the_words_of_the_form(ready: World, hub: FakeHub) -> None:
    hub.repos["org/model"].files = {"config.json": b"{}", "pytorch_model.bin": WEIGHTS}
    text = ask(ready).text
    assert 'id="e-revision"' in text and "pickles, which can run code" in text
    assert "\N{LEFT DOUBLE QUOTATION MARK}Revision\N{RIGHT DOUBLE QUOTATION MARK} refs/pr/1" in text


def test_a_hub_that_does_not_answer_is_named(ready: World, hub: FakeHub) -> None:
    hub.busy = 1_000
    found = ask(ready)
    assert found.status_code == 422 and "(503)" not in found.text and "Service Unavailable" in found.text
    assert len(hub.calls) == 2, "a person waits for it"


def test_files_that_are_too_large_are_not_downloaded(ready: World, hub: FakeHub) -> None:
    page = listed(ready)
    note = ready.folder / "models" / page.rpartition("/")[2] / "listing.json"
    found = json.loads(note.read_text())
    found["result"]["choice"]["taken"][0]["size_bytes"] = 5 << 30
    note.write_text(json.dumps(found))
    text = ready.browser.get(page).text
    assert "more than the 4.3 GB of one import" in text and "/start" not in text
    assert press(ready, page, "start").status_code == 422
    assert not hub.downloads("config.json")


def test_without_a_configured_hub_the_page_says_how_to_switch_it_on(world: World) -> None:
    world.answers.add("/v1/models", {"items": []})
    world.sign_in()
    text = world.browser.get("/models-import").text
    assert "No hub is configured" in text and "HF_ENDPOINT=https://..." in text and "Show its files" not in text
    assert ask(world).status_code == 422


def test_imports_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    monkeypatch.setenv("CONSOLE_IMPORTS", "false")
    world: World = request.getfixturevalue("world")
    world.answers.add("/v1/models", {"items": []})
    world.sign_in()
    text = world.browser.get("/models-import").text
    assert "Imports are switched off" in text and "Show its files" not in text
    assert ask(world).status_code == 422


def test_an_import_belongs_to_a_person_who_may_register(ready: World) -> None:
    page = listed(ready)
    ready.principals["other-key"] = Principal("olga", "user", {"*": frozenset({"admin"})})
    ready.sign_in("other-key")
    for found in (ready.browser.get(page), press(ready, page, "start"), press(ready, page, "discard")):
        assert found.status_code == 404
    ready.sign_in("viewer-key")
    assert ready.browser.get("/models-import").status_code == 403
    assert ask(ready).status_code == 403
    assert "/models-import" not in ready.browser.get("/models").text


def test_a_name_in_another_workspace_is_refused_before_anything_is_downloaded(ready: World) -> None:
    ready.principals["dora-key"] = Principal("dora", "user", {"risk": frozenset({"developer"})})
    ready.sign_in("dora-key")
    found = ask(ready, model="other:rules")
    assert found.status_code == 422 and "your key may not register versions of other:rules" in found.text


def test_a_token_is_not_shown_and_goes_to_the_hub_only(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hub-token")
    hub: FakeHub = request.getfixturevalue("hub")
    ready: World = request.getfixturevalue("ready")
    page = listed(ready, repo="org/gated")
    text = ready.browser.get(page).text
    assert "gated: its owner asks for an agreement" in text and "HF_TOKEN of the console" in text
    press(ready, page, "start")
    assert "hub-token" not in text + waited(ready, page, "Check how it is understood")
    assert {call.headers.get("authorization") for call in hub.calls if call.host == "cdn"} == {None}
    assert not any(b"hub-token" in path.read_bytes() for path in ready.folder.rglob("*.json"))


def test_an_address_that_cannot_be_used_ends_the_start_with_its_name(tmp_path: Path) -> None:
    key_file = tmp_path / "console.key"
    key_file.write_text("console-key-of-enough-letters")

    def settings(**values: Any) -> Settings:
        return Settings(data_dir=tmp_path, service_key_file=key_file, **values)

    with pytest.raises(ValidationError, match="hf_endpoint"):
        settings(hf_endpoint="hub.example")
    with pytest.raises(StartupError, match=r"HF_ENDPOINT .*: the token of HF_TOKEN is sent over https only"):
        build(settings(hf_endpoint="http://hub.example", hf_token="t"))


def test_messages_are_of_bounded_length_and_in_the_words_of_the_form() -> None:
    assert len(problem_words("x" * 100_000)) < 600
    assert problem_field("see --exclude") == "exclude" and problem_field("no such repository") == "repo"
    assert patterns("onnx/*, *.json") == ("onnx/*", "*.json")


def test_two_downloads_that_start_together_do_not_take_more_room_than_there_is(
    little_room: None, ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrives = threading.Event()
    monkeypatch.setattr(Hubs, "fetch", lambda *_: arrives.wait(20))
    first, second = listed(ready), listed(ready)
    assert press(ready, first, "start").status_code == 303
    refused = press(ready, second, "start")
    assert (refused.status_code, "take too much room" in refused.text) == (422, True), refused.text
    arrives.set()
    waited(ready, first, "Check how it is understood")
    assert press(ready, second, "start").status_code == 303


def test_a_download_that_is_cancelled_before_its_turn_gives_its_room_back(
    little_room: None, ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Jobs, "start", lambda *_: True)  # no thread is free
    first, second = listed(ready), listed(ready)
    assert press(ready, first, "start").status_code == 303
    assert press(ready, second, "start").status_code == 422
    assert press(ready, first, "cancel").status_code == 303
    assert press(ready, second, "start").status_code == 303
