"""Registering an uploaded model: what is understood, corrections, refusals, live steps."""

import contextlib
import io
import json
import time
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard_console.clients.model_reader import ModelReader
from modelyard_console.domain.own_models import WrongFields, description_of, kept, problem_field, problem_words
from modelyard_console.domain.prospects import prospects
from modelyard_console.pages.components import HOSTILE
from modelyard_console.store.model_uploads import ModelUploads
from modelyard_console.store.room import Room
from modelyard_contracts.admission import ScanReport
from modelyard_contracts.manifest import FileEntry, ManifestFile, ModelManifest, TrainingLineage, signed
from modelyard_contracts.policies import GatePolicy
from modelyard_contracts.signature import Column, ColumnType, Output, Signature
from modelyard_contracts.signature import Task as Answers
from modelyard_own import UnfitModel
from modelyard_own.work import OUT, Answer, Task, answer
from modelyard_runtime.access import Principal

from .conftest import Clock, World

RULES = "def predict(rows):\n    return ['high' if row['n'] > 2 else 'low' for row in rows]\n"
SAMPLE = "n,answer\n" + "".join(f"{n},{'high' if n > 2 else 'low'}\n" for n in range(20))
CODE = {"allow_code": "yes", "code_reason": "our own rules"}
VERSION = {
    "model": "rules",
    "version": 1,
    "digest": f"sha256:{'0' * 64}",
    "stage": "evaluated",
    "created_at": "2026-11-29T11:00:00Z",
    "created_by": "admin",
    "correlation_id": "c",
    "scan_verdict": "suspicious",
}
INFO = {"name": "rules", "revision": 1, "latest_version": 0, "created_at": "2026-11-29T11:00:00Z"}
FINDING = {"rule": "python-code", "verdict": "malicious", "message": "opens a socket", "remedy": "Remove it."}
Files = list[tuple[str, tuple[str, bytes]]]


def folder(**files: str | bytes) -> Files:
    """Files of a folder, as a browser sends them. Double underscores stand for dots."""
    named = {name.replace("__", "."): text.encode() if isinstance(text, str) else text for name, text in files.items()}
    return [("folder", (f"rules/{name}", data)) for name, data in named.items()]


RULES_FOLDER = folder(predict__py=RULES, sample__csv=SAMPLE)


def zipped(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"rules/{name.replace('__', '.')}", text)
    return packed.getvalue()


def send(world: World, files: Files, **form: str) -> Any:
    data = {"csrf": world.csrf("/models-register"), "model": "rules", **form}
    return world.browser.post("/models-register/upload", data=data, files=files, follow_redirects=False)


def uploaded(world: World, files: Files, **form: str) -> str:
    """The address of the preview."""
    found = send(world, files, **form)
    assert found.status_code == 303, found.text
    return str(found.headers["location"])


def in_process(_: ModelReader, task: Task) -> Answer:
    """Read without a process of its own, which takes seconds to start."""
    with contextlib.chdir(task.folder):
        Path(OUT).mkdir(exist_ok=True)
        return answer(task)


def scanned(verdict: str = "suspicious") -> Any:
    files = [{"path": "predict.py", "size_bytes": 9, "format": "python", "verdict": verdict, "findings": [FINDING]}]
    return lambda *_: ScanReport.model_validate({"rules_version": "1", "verdict": verdict, "files": files})


def accept_models(world: World, monkeypatch: pytest.MonkeyPatch, scan: Any) -> None:
    """A registry that takes everything, readings without processes, and a person who may register."""
    monkeypatch.setattr(ModelReader, "_run", in_process)
    monkeypatch.setattr(ModelReader, "scan", scan)
    world.answers.add("/v1/models", {"items": [INFO]})
    world.answers.add("/v1/models", INFO, "POST")
    world.answers.add("/v1/models/rules/versions", {**VERSION, "missing_blobs": []}, "POST")
    world.answers.add("/v1/models/rules/versions/1/finalize", VERSION, "POST")
    world.answers.add("/v1/models/rules/versions/1", VERSION)
    world.answers.any_blob = True
    world.sign_in()


@pytest.fixture
def ready(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    accept_models(world, monkeypatch, scanned())
    return world


def fields(world: World, page: str, **changes: str) -> dict[str, str]:
    return {"csrf": world.csrf(page), "model": "rules", **CODE, **changes}


def ended(world: World, page: str) -> str:
    """The page of a registration, once it has ended."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        text = world.browser.get(f"{page}/progress").text
        if ">running<" not in text:
            return text
        time.sleep(0.05)  # sleep: a registration runs in a thread
    raise AssertionError("the registration has not ended")


def opens_again(world: World, page: str) -> None:
    """Wait until the preview of a failed registration opens: its thread ends just after its state is written."""
    deadline = time.monotonic() + 20
    while world.browser.get(page, follow_redirects=False).status_code != 200:
        assert time.monotonic() < deadline, "the preview has not opened"
        time.sleep(0.05)  # sleep: a registration runs in a thread


def started(world: World, page: str, **changes: str) -> str:
    found = world.browser.post(f"{page}/start", data=fields(world, page, **changes), follow_redirects=False)
    assert (found.status_code, found.headers.get("location")) == (303, f"{page}/progress"), found.text
    return ended(world, page)


def sent_to(world: World, path: str) -> list[dict[str, Any]]:
    found = [one for one in world.answers.asked if one.method == "POST" and one.url.path == path]
    return [json.loads(one.content) for one in found]


def test_the_preview_shows_what_was_understood_and_registers_nothing(ready: World) -> None:
    page = ready.browser.get(uploaded(ready, RULES_FOLDER, **CODE)).text
    for shown in ("python", "high, low", "20", "rows of sample.csv", "with recorded answers", "opens a socket"):
        assert shown in page, shown
    assert "coarse reference" in page and ">Register</button>" in page
    assert not sent_to(ready, "/v1/models/rules/versions")


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (RULES_FOLDER, "rules"),
        ([("files", ("rules.zip", zipped(predict__py=RULES, sample__csv=SAMPLE)))], "rules.zip"),
        ([("files", ("predict.py", RULES.encode())), ("files", ("sample.csv", SAMPLE.encode()))], "model"),
    ],
    ids=["folder", "zip", "several files"],
)
def test_a_folder_a_zip_and_several_files_are_the_same_model(ready: World, files: Files, name: str) -> None:
    page = uploaded(ready, files, **CODE)
    assert f"Register {name}" in ready.browser.get(page).text
    text = started(ready, page)
    assert "rules version 1" in text
    [created] = sent_to(ready, "/v1/models/rules/versions")
    manifest = json.loads(created["manifest"])
    assert {file["path"] for file in manifest["files"]} == {"predict.py", "modelyard-example.json"}
    assert (manifest["permissions"]["code"], manifest["permissions"]["reason"]) == (True, "our own rules")


def test_a_registered_version_shows_its_scan_trial_comparison_and_stage(ready: World) -> None:
    trial = {"outcome": "answered", "rows": 20, "p50_ms": 1.5, "p95_ms": 2.5, "memory_mib": 80, "answers_equal": True}
    evaluation = {
        "evaluation_id": "e-1",
        "model": "rules",
        "stage": "finished",
        "verdict": "deploy",
        "challenger_version": 1,
        "report": {"verdict": "deploy", "reasons": ["better than a constant"], "trial": trial},
        "reasons": ["better than a constant"],
        "created_at": "2026-11-29T11:00:00Z",
    }
    ready.answers.add("/v1/evaluations", {"items": [evaluation], "next_after": None})
    ready.answers.add("/v1/rollouts", {"items": [], "next_after": None})
    text = started(ready, uploaded(ready, RULES_FOLDER, **CODE))
    for shown in ("suspicious", "answers as recorded", "1.5", "better than a constant", "It waits for an approval"):
        assert shown in text, shown
    assert '<a href="/models/rules">rules</a> shows when it serves' in text


def test_a_registered_version_that_serves_leads_to_its_first_request(ready: World) -> None:
    ready.answers.add("/v1/models/rules/versions/1", {**VERSION, "stage": "live"})
    text = started(ready, uploaded(ready, RULES_FOLDER, **CODE))
    assert 'Next: <a href="/routes/rules/try">send a request</a>' in text


def test_the_registry_names_the_findings_of_files_that_it_refuses(ready: World) -> None:
    problem = {"code": "inadmissible", "detail": "the scan refuses it", "findings": [{"file": "predict.py", **FINDING}]}
    refused = httpx.Response(422, json={"title": "Unprocessable", **problem})
    ready.answers.add("/v1/models/rules/versions/1/finalize", refused, "POST")
    page = uploaded(ready, RULES_FOLDER, **CODE)
    text = started(ready, page)
    assert "the scan refuses it" in text and "opens a socket" in text and "Remove it." in text
    assert ready.browser.get(page, follow_redirects=False).status_code == 303, "a refusal is final"


def test_a_failed_registration_can_be_corrected_and_started_again(ready: World) -> None:
    problem = {"title": "Unprocessable", "code": "permission_not_granted", "detail": "its code was not allowed"}
    ready.answers.add("/v1/models/rules/versions/1/finalize", httpx.Response(422, json=problem), "POST")
    page = uploaded(ready, RULES_FOLDER, **CODE)
    assert "A reviewer or an admin allows it" in started(ready, page)
    opens_again(ready, page)
    ready.answers.add("/v1/models/rules/versions/1/finalize", VERSION, "POST")
    assert "rules version 1" in started(ready, page)
    first, second = sent_to(ready, "/v1/models/rules/versions")
    assert first["idempotency_key"] == second["idempotency_key"]


def test_the_preview_says_what_the_policies_will_do(ready: World) -> None:
    page = uploaded(ready, RULES_FOLDER, **CODE)
    text = ready.browser.get(page).text
    for shown in ("is tried on its example", "that needs 100 labelled rows", "serves at once", "needs no approval"):
        assert shown in text, shown
    ready.answers.add("/v1/models/rules", {**INFO, "aliases": {"champion": 4}})
    gate = {"kind": "gate", "revision": 2, "document": {"schema_version": 1, "approval": "manual", "min_rows": 40}}
    ready.answers.add("/v1/models/rules/policies/gate", gate)
    text = ready.browser.get(page).text
    assert "compared with version 4, which serves, once 40 labelled rows are there" in text
    assert "waits for an approval by another person" in text
    ready.answers.away.add("registry")
    text = ready.browser.get(page).text
    assert "is tried on its example" not in text and ">Register</button>" in text


@pytest.mark.parametrize(
    ("labels", "champion", "gate", "sentence"),
    [
        (0, None, GatePolicy(), "that needs 100 labelled rows, and the sample has 0."),
        (120, None, GatePolicy(), "100 labelled rows, and 96 of the 120 in the sample are left for it."),
        (125, None, GatePolicy(), "It is compared with a constant answer on 100 labelled rows of the sample."),
        (0, 3, GatePolicy(), "is rolled out in the steps of the rollout policy: the gate policy needs no approval."),
        (0, None, GatePolicy(approval="manual", four_eyes=False), "it waits for an approval, as the gate policy"),
    ],
)
def test_the_policies_decide_what_follows_a_registration(
    labels: int, champion: int | None, gate: GatePolicy, sentence: str
) -> None:
    assert sentence in prospects(labels, champion, gate)


def test_corrections_are_kept_and_the_model_is_read_again(ready: World) -> None:
    page = uploaded(ready, RULES_FOLDER, **CODE)
    sent = fields(
        ready, page, answers="none", task="binary", classes="low, high", license="MIT", **{"kind:n": "number"}
    )
    text = ready.browser.post(page, data=sent).text
    assert "without recorded answers" in text and 'value="MIT"' in text
    assert '<option value="number" selected>' in text


@pytest.mark.parametrize(
    ("files", "form", "problem"),
    [
        ([], {}, "Files: choose the file or the folder of a model"),
        ([("files", ("m.json", b""))], {}, "the files are empty"),
        ([("files", ("a.json", b"1")), *RULES_FOLDER], {}, "choose files or a folder, not both"),
        ([("files", ("a.json", b"1")), ("files", ("a.json", b"2"))], {}, "two files have the name"),
        ([("files", ("a.json", b"1")), ("sample", ("s.csv", b""))], {}, "Sample: the file is empty"),
        ([("folder", ("rules/.git", b"1"))], {}, "Files: choose the file or the folder of a model"),
    ],
)
def test_files_that_cannot_be_stored_are_named(ready: World, files: Files, form: dict[str, str], problem: str) -> None:
    found = send(ready, files or [("files", ("", b""))], **form)
    assert found.status_code == 422
    assert problem in found.text


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model": ""}, "Model: fill in this field"),
        ({"allow_code": ""}, "Allow its code\N{RIGHT DOUBLE QUOTATION MARK} and"),
        ({"code_reason": ""}, "set \N{LEFT DOUBLE QUOTATION MARK}Reason for its code"),
        ({"target": "gone"}, "no such column"),
        ({"tags": "novalue"}, "is no NAME=VALUE"),
        ({"task": "guess"}, "task"),
        ({"separator": "ab"}, "Separator"),
    ],
)
def test_a_field_that_cannot_be_used_is_named_and_nothing_starts(
    ready: World, changes: dict[str, str], problem: str
) -> None:
    page = uploaded(ready, RULES_FOLDER, **CODE)
    found = ready.browser.post(f"{page}/start", data=fields(ready, page, **changes), follow_redirects=False)
    assert found.status_code == 422
    assert problem in found.text
    assert not sent_to(ready, "/v1/models/rules/versions")


def test_a_name_that_no_model_can_have_is_refused_before_anything_is_stored(ready: World) -> None:
    found = send(ready, RULES_FOLDER, model="My Model")
    assert found.status_code == 422
    assert 'id="e-model"' in found.text and "use NAME or WORKSPACE:NAME with lower-case letters" in found.text
    assert 'value="My Model"' in found.text and 'pattern="(?:[a-z0-9]' in found.text
    assert not list((ready.folder / "models").glob("*"))


def test_a_name_that_no_model_can_have_is_refused_on_the_preview_as_well(ready: World) -> None:
    page = uploaded(ready, RULES_FOLDER, **CODE)
    wrong = fields(ready, page, model="../rules")
    assert "is not a name" in ready.browser.post(page, data=wrong).text
    found = ready.browser.post(f"{page}/start", data=wrong, follow_redirects=False)
    assert found.status_code == 422 and 'id="e-model"' in found.text
    assert "/models/..%2Frules" not in found.text and not sent_to(ready, "/v1/models/rules/versions")


def replace(world: World, page: str, files: Files) -> Any:
    form = {"csrf": world.csrf(page), "upload_id": page.rpartition("/")[2]}
    return world.browser.post("/models-register/upload", data=form, files=files, follow_redirects=False)


def test_a_bad_sample_is_replaced_alone(ready: World) -> None:
    page = uploaded(ready, [*RULES_FOLDER, ("sample", ("bad.csv", b"only one line"))], **CODE, license="MIT")
    assert ">Register</button>" not in ready.browser.get(page).text
    found = replace(ready, page, [("sample", ("good.csv", SAMPLE.encode()))])
    assert found.status_code == 303 and found.headers["location"] != page
    text = ready.browser.get(found.headers["location"]).text
    for shown in ("rows of good.csv", ">Register</button>", 'value="MIT"', 'value="rules"'):
        assert shown in text, shown
    assert ready.browser.get(page).status_code == 404, "it has one upload"
    assert "rules version 1" in started(ready, found.headers["location"])


def test_a_refused_model_is_replaced_and_its_sample_stays(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelReader, "scan", scanned("malicious"))
    sample = ("sample", ("rows.csv", SAMPLE.encode()))
    page = uploaded(ready, [*folder(predict__py="import socket\n" + RULES), sample], **CODE)
    assert "does not accept the files" in ready.browser.get(page).text
    monkeypatch.setattr(ModelReader, "scan", scanned())
    found = replace(ready, page, folder(predict__py=RULES))
    text = ready.browser.get(found.headers["location"]).text
    assert "rows of rows.csv" in text and ">Register</button>" in text


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ([("files", ("", b""))], "choose other files, another sample, or both"),
        ([("sample", ("s.csv", b""))], "Sample: the file is empty"),
        ([("files", ("m.json", b""))], "the files are empty"),
        ([("files", ("a.json", b"1")), *RULES_FOLDER], "choose files or a folder, not both"),
    ],
)
def test_what_cannot_replace_a_file_is_named_and_the_upload_stays(ready: World, files: Files, problem: str) -> None:
    page = uploaded(ready, RULES_FOLDER, **CODE)
    found = replace(ready, page, files)
    assert found.status_code == 422 and problem in found.text
    assert ">Register</button>" in ready.browser.get(page).text
    assert len(list((ready.folder / "models").glob("*"))) == 1


def test_files_of_a_registered_model_and_of_another_person_are_not_replaced(ready: World) -> None:
    page = uploaded(ready, RULES_FOLDER, **CODE)
    started(ready, page)
    assert replace(ready, page, RULES_FOLDER).headers["location"] == f"{page}/progress"
    other = uploaded(ready, RULES_FOLDER, **CODE)
    ready.principals["other-key"] = Principal("olga", "user", {"*": frozenset({"admin"})})
    ready.sign_in("other-key")
    form = {"csrf": ready.csrf(), "upload_id": other.rpartition("/")[2]}
    assert ready.browser.post("/models-register/upload", data=form, files=RULES_FOLDER).status_code == 404


def test_files_that_the_scan_does_not_accept_cannot_be_registered(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ModelReader, "scan", scanned("malicious"))
    page = uploaded(ready, RULES_FOLDER, **CODE)
    shown = ready.browser.get(page).text
    assert "does not accept the files" in shown and "Remove it." in shown and ">Register</button>" not in shown
    assert ready.browser.post(f"{page}/start", data=fields(ready, page)).status_code == 422
    assert not sent_to(ready, "/v1/models/rules/versions")


def test_an_upload_belongs_to_its_owner_and_names_are_shown_as_texts(ready: World) -> None:
    page = uploaded(ready, [("files", (f"{HOSTILE}.json", b"{}"))])
    assert "<script>document" not in ready.browser.get(page).text
    ready.principals["other-key"] = Principal("olga", "user", {"*": frozenset({"admin"})})
    ready.sign_in("other-key")
    assert ready.browser.get(page).status_code == 404


def test_only_roles_that_may_register_see_the_pages(world: World) -> None:
    world.answers.add("/v1/models", {"items": [], "next_after": None})
    world.sign_in("viewer-key")
    assert world.browser.get("/models-register").status_code == 403
    assert "/models-register" not in world.browser.get("/models").text


def test_a_real_process_reads_and_scans_a_model_and_may_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    uploads = ModelUploads(tmp_path, timedelta(hours=24), Room(1 << 30, tmp_path), Clock())
    files = [("rules.zip", io.BytesIO(zipped(predict__py=RULES, sample__csv=SAMPLE)))]
    upload = uploads.add(files, None, "olga", "rules", CODE)
    reader, home = ModelReader(1 << 30, 4 << 30, 60), uploads.folder(upload)
    found = reader.read(home, upload.name, upload.sample, upload.values)
    plan = found.ready(home)
    assert plan is not None and plan.files[0].source == home / "out/model/rules/rules/predict.py"
    assert reader.scan(home / found.model).verdict == "suspicious"
    assert found.plan is not None
    bent = found.plan.model_copy(update={"files": (plan.files[0].__class__("predict.py", Path("/etc/hostname")),)})
    with pytest.raises(UnfitModel, match="outside of the uploaded files"):
        found.model_copy(update={"plan": bent}).ready(home)


def test_facts_are_read_from_the_fields_of_the_form() -> None:
    values = {"csrf": "x", "task": " binary ", "classes": "no, yes", "tags": "team=risk\n", "kind:age": "number"}
    found = description_of(kept(values))
    assert (found.task, found.classes, found.tags, dict(found.columns)) == (
        "binary", ("no", "yes"), {"team": "risk"}, {"age": "number"},
    )  # fmt: skip
    with pytest.raises(WrongFields):
        description_of({"kind:age": "colour"})
    assert problem_field("--target gone: no such column") == "target"
    assert problem_words("set --allow-code").endswith("Allow its code\N{RIGHT DOUBLE QUOTATION MARK}")


def adapter_folder(task_type: str = "CAUSAL_LM") -> Files:
    """A LoRA adapter as a browser sends it; nothing of its weights is read here."""
    import numpy as np
    from safetensors.numpy import save

    config = {"peft_type": "LORA", "task_type": task_type, "r": 2, "lora_alpha": 4, "base_model_name_or_path": "org/lm"}
    weights = save({"w": np.zeros(2, dtype=np.float32)})
    return folder(adapter_config__json=json.dumps(config), adapter_model__safetensors=weights, sample__csv="text\nhi\n")


def add_base(world: World) -> None:
    """The registry has the language model `smollm`, whose version 1 serves."""
    file = {"path": "model.safetensors", "digest": f"sha256:{'b' * 64}", "size_bytes": 9}
    signature = Signature(
        input="text", columns=(Column(name="text", type=ColumnType.TEXT),), output=Output(task=Answers.TEXT)
    )
    manifest = ModelManifest(
        model="smollm",
        flavour="transformers",
        files=(FileEntry(**file),),
        **signed(signature),
        training=TrainingLineage(recipe="elsewhere"),
    )
    written = ManifestFile.write(manifest)
    world.answers.add("/v1/models/smollm", {**INFO, "name": "smollm", "aliases": {"champion": 1}})
    world.answers.add("/v1/models/smollm/versions/1", {**VERSION, "model": "smollm", "digest": written.digest})
    response = httpx.Response(200, content=written.data, headers={"x-modelyard-digest": written.digest})
    world.answers.add("/v1/models/smollm/versions/1/manifest", response)


def test_an_adapter_asks_for_its_base_and_has_the_files_of_both(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModelReader, "scan", scanned("safe_format"))
    page = uploaded(ready, adapter_folder())
    text = ready.browser.get(page).text
    assert "an adapter is only a part of a model" in text and "Register org/lm, then the adapter with" in text
    missing = ready.browser.post(page, data=fields(ready, page, base="smollm")).text
    assert "no such model; register its folder first" in missing
    add_base(ready)
    assert "smollm@1 (sha256:" in ready.browser.get(page).text, "it is looked up again"
    assert "rules version 1" in started(ready, page, base="smollm", allow_code="")
    [created] = sent_to(ready, "/v1/models/rules/versions")
    manifest = json.loads(created["manifest"])
    assert {file["path"] for file in manifest["files"]} == {
        "model.safetensors",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "modelyard-example.json",
    }
    assert manifest["source"]["base_model"].startswith("smollm@1 (sha256:")
