"""Training on an uploaded file: preview, corrections, start, limits; and retraining on live rows."""

import contextlib
import json
import stat
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard_console.clients.file_reader import FileReader
from modelyard_console.domain.uploads import chosen, field_of, in_words, shares
from modelyard_console.pages.components import HOSTILE
from modelyard_console.store.folders import safe_name
from modelyard_console.store.room import Room
from modelyard_console.store.uploads import Uploads
from modelyard_contracts import signature
from modelyard_contracts.signature import Column, Output, Signature
from modelyard_contracts.tables.__main__ import answer
from modelyard_contracts.tables.work import Answer, ChosenOptions, Task
from modelyard_runtime.access import Principal
from modelyard_runtime.errors import Invalid, NotFound

from .conftest import Clock, World

RUN = {"run_id": "r-9", "model": "churn", "state": "requested", "correlation_id": "c-9"}
GOOD = "when,price,plan,left\n" + "".join(
    f"2026-01-{1 + at // 50:02d}T{at % 24:02d}:00:00Z,{at}.5,{'abc'[at % 3]},{'yes' if at % 4 == 0 else 'no'}\n"
    for at in range(1_000)
)


def send(world: World, content: str | bytes = GOOD, name: str = "churn.csv", model: str = "churn") -> Any:
    data = content.encode() if isinstance(content, str) else content
    form = {"csrf": world.csrf("/training/new"), "model": model}
    return world.browser.post("/training/upload", data=form, files={"file": (name, data)}, follow_redirects=False)


def uploaded(world: World, content: str | bytes = GOOD, name: str = "churn.csv") -> str:
    """The address of the preview."""
    answer = send(world, content, name)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def fields(world: World, page: str, **changes: str) -> dict[str, str]:
    given = {"csrf": world.csrf(page), "model": "churn", "target": "left", "reason": "first version"}
    return {**given, "separator": ",", "decimal": ".", "encoding": "utf-8", **changes}


def in_process(_: FileReader, task: Task) -> Answer:
    """Read without a process of its own, which takes seconds to start."""
    with contextlib.chdir(task.folder):
        return answer(task)


@pytest.fixture
def ready(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Services that take a data set and start a run."""
    monkeypatch.setattr(FileReader, "_run", in_process)
    info = {"name": "churn", "revision": 1, "latest_version": 0, "created_at": "2026-11-29T11:00:00Z"}
    recipe = {"name": "tabular-classifier", "tasks": ["binary", "multiclass"]}
    world.answers.add("/v1/recipes", {"items": [recipe, {"name": "tabular-regressor", "tasks": ["regression"]}]})
    world.answers.add("/v1/models", {"items": [info]})
    world.answers.add("/v1/models", info, "POST")
    world.answers.add("/v1/dataset-files", dataset(), "POST")
    world.answers.add("/v1/runs", RUN, "POST")
    world.answers.any_blob = True
    world.sign_in()
    return world


def dataset() -> dict[str, Any]:
    given = {"digest": "sha256:d", "name": "churn", "format": "parquet", "rows": 1000, "size_bytes": 1}
    return {**given, "created_at": "2026-11-29T11:00:00Z", "created_by": "admin"}


def sent_to(world: World, path: str) -> list[dict[str, Any]]:
    found = [one for one in world.answers.asked if one.method == "POST" and one.url.path == path]
    return [json.loads(one.content) for one in found]


def test_the_preview_shows_what_was_understood(ready: World) -> None:
    page = ready.browser.get(uploaded(ready)).text
    for shown in ("1,000", "target left", "binary", "order of the rows", "750", "250", "Kind of price", "abc"[0]):
        assert shown in page, shown
    assert "tabular-classifier" in page and "tabular-regressor" not in page
    assert not sent_to(ready, "/v1/runs"), "nothing is trained before a person confirms it"


def test_corrections_are_kept_and_the_file_is_read_again(ready: World) -> None:
    page = uploaded(ready)
    sent = fields(ready, page, time="when", **{"kind:price": "category"})
    answer = ready.browser.post(page, data=sent)
    assert answer.status_code == 200
    assert "as inferred: when" in answer.text and "Training data" not in answer.text
    again = ready.browser.get(page).text
    assert '<option value="category" selected>' in again and "first version" in again


def test_start_registers_the_file_and_leads_to_the_run(ready: World) -> None:
    page = uploaded(ready)
    answer = ready.browser.post(f"{page}/start", data=fields(ready, page, time="when"), follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/training/r-9")
    [data] = sent_to(ready, "/v1/dataset-files")
    assert (data["rows"], data["name"], data["columns"]["price"]) == (1000, "churn", "double")
    [run] = sent_to(ready, "/v1/runs")
    assert (run["model"], run["target"], run["time"], run["task"]) == ("churn", "left", "when", "binary")
    assert (run["dataset_digest"], run["columns"]["plan"]) == (data["digest"], "category")
    assert run["idempotency_key"].startswith("upload-")
    assert ready.browser.get(page).status_code == 404, "the file is deleted when its run has started"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model": ""}, "Model: fill in this field"),
        ({"model": "My Model"}, "use NAME or WORKSPACE:NAME"),
        ({"reason": ""}, "Reason: fill in this field"),
        ({"target": "gone"}, "no such column"),
        ({"separator": ";;"}, "give one character"),
        ({"task": "regression"}, "is not numeric"),
        ({"time": "plan"}, "no timestamp"),
        ({"kind:plan": "number"}, "is not of the type number"),
        ({"kind:plan": "colour"}, "types.plan"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_typed_is_lost(
    ready: World, changes: dict[str, str], problem: str
) -> None:
    page = uploaded(ready)
    answer = ready.browser.post(f"{page}/start", data=fields(ready, page, metric="macro_f1", **changes))
    assert answer.status_code == 422
    assert problem in answer.text
    assert "first version" in answer.text or "reason" in changes
    assert not sent_to(ready, "/v1/runs") and not sent_to(ready, "/v1/dataset-files")


def test_doubts_must_be_accepted(ready: World) -> None:
    rows = "".join(f"{at},{'yes' if at >= 996 else 'no'}\n" for at in range(1_000))
    page = uploaded(ready, "price,left\n" + rows)
    assert "Train in spite of the doubts" in ready.browser.get(page).text
    refused = ready.browser.post(f"{page}/start", data=fields(ready, page))
    assert refused.status_code == 422 and not sent_to(ready, "/v1/runs")
    ready.browser.post(f"{page}/start", data=fields(ready, page, accept="yes"))
    assert len(sent_to(ready, "/v1/runs")) == 1


@pytest.mark.process
def test_a_file_must_fit_the_version_that_serves_or_make_a_new_signature(world: World) -> None:
    known = Signature(
        columns=(Column(name="age"),), output=Output(task=signature.Task.BINARY, name="left", classes=("no", "yes"))
    )
    path = world.folder / "t"
    path.mkdir()
    (path / "churn.csv").write_text(GOOD)
    reader = FileReader(100_000, 4 << 30, 60)
    answer = reader.read(path, "churn.csv", ChosenOptions(target="left"), known=known, write="t.parquet")
    assert answer.problem and "column 'age' is missing" in answer.problem.text
    assert answer.preview, "the page still shows how the file was understood"
    assert not (path / "t.parquet").exists()
    assert "New signature" in in_words(answer.problem.text)


def test_ambiguity_offers_the_candidates(ready: World) -> None:
    rows = "".join(f"{at % 3},{at % 2},{at % 2}\n" for at in range(600))
    page = ready.browser.get(uploaded(ready, "a,churn,label\n" + rows.replace("label", "y"))).text
    assert "Held out" in page
    rows = "".join(f"{at % 2},{at % 5}\n" for at in range(600))
    page = ready.browser.get(uploaded(ready, "a,rating\n" + rows)).text
    assert "are they classes or numbers?" in page and "\N{LEFT DOUBLE QUOTATION MARK}Task" in page
    assert "--task" not in page
    assert 'aria-invalid="true"' in page


def test_files_that_cannot_be_read_say_why(ready: World) -> None:
    for content, problem in (
        (b"PK\x03\x04" + b"x" * 50, "Excel workbook"),
        (b"a;b\n1;2\n" * 600, "Separator"),
        (b"a,left\n1,yes\n2,no\n", "at least 500"),
        ("größe,left\n".encode("latin-1") + b"1,yes\n" * 600, "Encoding"),
    ):
        page = ready.browser.get(uploaded(ready, content)).text
        assert problem in page
        assert "Start training</button>" not in page


@pytest.mark.process
@pytest.mark.parametrize(
    ("limits", "problem"),
    [
        ((100, 4 << 30, 60), "more than 100 values"),
        ((10_000_000, 60 << 20, 60), "memory"),  # far more cells than what is free when reading starts
        ((100_000, 4 << 30, 0.01), "within 0.01 s"),
    ],
)
def test_a_file_past_the_limits_is_refused_and_the_console_goes_on(
    tmp_path: Path, limits: tuple[int, int, float], problem: str
) -> None:
    header, _, rows = GOOD.partition("\n")
    (tmp_path / "churn.csv").write_text(f"{header}\n{rows * 200}")
    found = FileReader(*limits).read(tmp_path, "churn.csv", ChosenOptions())
    assert found.problem and problem in found.problem.text


def test_a_parquet_file_is_read_as_well(ready: World) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = BytesIO()
    pq.write_table(pa.table({"price": [at / 2 for at in range(600)], "left": ["yes", "no", "no"] * 200}), content)
    assert "Held out" in ready.browser.get(uploaded(ready, content.getvalue(), "churn.parquet")).text


def test_an_empty_or_missing_file_is_refused(ready: World) -> None:
    assert "the file is empty" in send(ready, b"").text
    form = {"csrf": ready.csrf("/training/new"), "model": "churn"}
    answer = ready.browser.post("/training/upload", data=form)
    assert (answer.status_code, "choose a CSV or Parquet file" in answer.text) == (422, True)
    assert list((ready.folder / "uploads").iterdir()) == []


def test_a_name_that_no_model_can_have_is_refused_at_its_field(ready: World) -> None:
    found = send(ready, model="My Model")
    assert found.status_code == 422
    assert 'id="e-upload-model"' in found.text and "use NAME or WORKSPACE:NAME" in found.text
    assert not list((ready.folder / "uploads").glob("*"))


def test_a_refusal_of_a_service_keeps_the_file_and_what_was_chosen(ready: World) -> None:
    refused = {"title": "Conflict", "code": "open_run", "detail": "churn has the open run r-8", "field": "model"}
    ready.answers.add("/v1/runs", httpx.Response(409, json=refused), "POST")
    page = uploaded(ready)
    answer = ready.browser.post(f"{page}/start", data=fields(ready, page, time="when"))
    assert (answer.status_code, "churn has the open run r-8" in answer.text) == (409, True)
    assert "first version" in answer.text and ready.browser.get(page).status_code == 200


def test_an_upload_belongs_to_the_person_who_sent_it(ready: World) -> None:
    page = uploaded(ready)
    ready.browser.cookies.clear()
    ready.principals["other-key"] = Principal("other", "user", {"*": frozenset({"admin"})})
    ready.sign_in("other-key")
    assert ready.browser.get(page).status_code == 404
    assert ready.browser.post(f"{page}/start", data=fields(ready, "/training/new")).status_code == 404


@pytest.mark.parametrize("upload_id", ["%2e%2e%2f%2e%2e", ".x", "a" * 22])
def test_no_other_file_can_be_reached(ready: World, upload_id: str) -> None:
    assert ready.browser.get(f"/training/files/{upload_id}").status_code == 404


def test_a_viewer_may_not_upload(ready: World) -> None:
    ready.browser.cookies.clear()
    ready.sign_in("viewer-key")
    assert ready.browser.get("/training/new").status_code == 403
    assert send(ready).status_code == 403
    form = {"csrf": ready.csrf(), "model": "churn", "reason": "x"}
    assert ready.browser.post("/training/retrain", data=form).status_code == 403


def test_a_form_of_another_session_stores_nothing(ready: World) -> None:
    answer = ready.browser.post("/training/upload", data={"csrf": "x"}, files={"file": ("a.csv", b"a,b\n")})
    assert answer.status_code == 403
    assert not (ready.folder / "uploads").exists()


def test_hostile_names_and_cells_are_shown_as_text(ready: World) -> None:
    tag = "<script>alert(1)</script>"
    rows = "".join(f"{tag}{at % 2},{'yes' if at % 4 == 0 else 'no'}\n" for at in range(1_000))
    page = uploaded(ready, f"{tag},left\n{rows}", name=f"../../{HOSTILE}.csv")
    text = ready.browser.get(page).text
    assert "<script>alert" not in text and text.count("&lt;script&gt;alert(1)") > 3
    assert not list(ready.folder.rglob("..*"))


def test_pages_work_while_the_trainer_is_away(ready: World) -> None:
    page = uploaded(ready)
    ready.answers.away.add("trainer")
    for path in ("/training/new", page):
        answer = ready.browser.get(path)
        assert (answer.status_code, "The trainer is away" in answer.text) == (200, True)


# ---- the store and the words, alone


def test_uploads_are_private_deleted_in_time_and_bounded(tmp_path: Path) -> None:
    clock = Clock()
    uploads = Uploads(tmp_path / "u", timedelta(hours=1), Room(10, tmp_path / "u"), clock)
    kept = uploads.add(BytesIO(b"12345"), "a.csv", "anna", "")
    assert stat.S_IMODE(uploads.folder(kept).stat().st_mode) == 0o700
    with pytest.raises(Invalid, match="too much room"):
        uploads.add(BytesIO(b"x" * 11), "b.csv", "anna", "")
    assert len(list((tmp_path / "u").iterdir())) == 1, "what does not fit leaves nothing behind"
    with pytest.raises(NotFound):
        uploads.find(kept.id, "bob")
    clock.forward(minutes=61)
    assert uploads.prune() == 1
    with pytest.raises(NotFound, match="upload the file again"):
        uploads.find(kept.id, "anna")


def test_a_reading_is_kept_for_the_same_options_only(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "u", timedelta(hours=1), Room(100, tmp_path / "u"), Clock())
    upload = uploads.add(BytesIO(b"1"), "a.csv", "anna", "")
    uploads.keep_answer(upload, Answer.failed("no"))
    assert uploads.answer(upload) == Answer.failed("no")
    assert uploads.answer(upload.model_copy(update={"options": ChosenOptions(target="b")})) is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.csv", "a.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\größe 1.csv", "größe 1.csv"),
        ("<b>\u202e.csv", "_b__.csv"),
        ("..", "file-"),
        (".hidden", "hidden"),
        ("upload.json", "file-upload.json"),
    ],
)
def test_names_of_files_are_made_safe(given: str, kept: str) -> None:
    assert safe_name(given) == kept


def test_messages_name_fields_of_the_form() -> None:
    assert field_of("t.csv: --target x: no such column") == "target"
    assert field_of("anything", "--task") == "task"
    assert field_of("the file is empty") == ""
    assert "--" not in in_words("set --time none if so, or --separator ';', or --new-contract")


def test_options_of_a_form() -> None:
    values = {"target": " a ", "kind:x": "text", "kind:y": "", "kind:id": "none", "shuffle": "yes"}
    found = ChosenOptions.model_validate(chosen(values))
    assert found.left_out == {"id"}
    assert (found.target, dict(found.types), found.shuffle, found.separator) == ("a", {"x": "text"}, True, ",")
    assert shares({"a": 1, "b": 3}) == [("b", 3, 0.75), ("a", 1, 0.25)]


def test_what_a_download_has_not_written_yet_takes_room(tmp_path: Path) -> None:
    room, have = Room(100, tmp_path), 0
    assert room.reserve("first", 60, lambda: have)
    assert room.free_bytes() == 40
    assert not room.reserve("second", 41, lambda: 0)
    assert room.reserve("first", 60, lambda: have), "it continues with its own room"
    (tmp_path / "part").write_bytes(b"x" * 50)
    have = 50
    assert room.free_bytes() == 40
    room.release("first")
    assert room.free_bytes() == 50
    assert room.reserve("second", 50, lambda: 0)
