"""What people do: buttons by role, actions with reasons, refusals, keys, tables, live updates."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Dialog, expect

from .conftest import Site, Visitor
from .replay import Recording
from .site_map import pages
from .test_pages import violations

MODEL = "/models/electricity"
PAGES = list(pages(Recording.load()))
Visit = Callable[..., Visitor]
MakeSite = Callable[..., Site]


@pytest.mark.parametrize("path", PAGES)
def test_hostile_texts_are_shown_as_texts_and_break_nothing(hostile_site: Site, visit: Visit, path: str) -> None:
    visitor = visit(hostile_site)
    dialogs: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    visitor.page.on("dialog", dismiss)
    page = visitor.open(path)
    assert page.locator("main h1").inner_text()
    assert (dialogs, visitor.complaints) == ([], [])
    assert page.title() != "hit"
    assert page.locator("main img").count() == 0
    for width in (1280, 380):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("viewer", set()),
        ("developer", {"Retrain"}),
        ("reviewer", set()),
        ("release-manager", {"Roll back"}),
        ("admin", {"Retrain", "Roll back"}),
    ],
)
def test_a_role_sees_the_buttons_that_it_may_press(site: Site, visit: Visit, role: str, shown: set[str]) -> None:
    page = visit(site, role=role).open(MODEL)
    assert {text.strip() for text in page.locator(".head .actions summary").all_inner_texts()} == shown


@pytest.mark.parametrize(
    ("button", "path", "body"),
    [
        ("Retrain", "/v1/runs", {"model": "electricity", "reason": "new season"}),
        ("Roll back", "/v1/rollouts", {"model": "electricity", "action": "roll_back", "reason": "new season"}),
    ],
)
def test_an_action_is_sent_with_its_reason_and_reported(
    other_site: MakeSite, visit: Visit, button: str, path: str, body: dict[str, Any]
) -> None:
    answer = {"run_id": "r", "rollout_id": "r", "model": "electricity", "correlation_id": "c", "action": "start"}

    def done(request: httpx.Request) -> httpx.Response:
        state = "requested" if request.url.path == "/v1/runs" else "rolled_back"
        return httpx.Response(202, json={**answer, "state": state})

    site = other_site(on_action=done)
    page = visit(site).open(MODEL)
    page.click(f".head .actions summary:text-is('{button}')")
    page.fill(".confirm[open] textarea[name=reason]", "new season")
    page.click(".confirm[open] form button")
    expect(page.locator(".flash")).to_be_visible()
    [request] = site.replay.sent
    assert request.url.path == path
    sent = json.loads(request.content)
    assert {name: sent[name] for name in body} == body
    page.reload()
    assert page.locator(".flash").count() == 0


def test_a_refused_action_says_why_and_keeps_what_was_typed(other_site: MakeSite, visit: Visit) -> None:
    problem = {"title": "Conflict", "status": 409, "code": "conflict", "detail": "another rollout was started first"}
    site = other_site(on_action=lambda _: httpx.Response(409, json=problem))
    page = visit(site).open(MODEL)
    page.click(".head .actions summary:text-is('Roll back')")
    page.fill(".confirm[open] textarea[name=reason]", "worse since noon")
    page.click(".confirm[open] form button")
    expect(page.locator(".notice.bad")).to_contain_text("another rollout was started first")
    expect(page.locator("[name=reason]")).to_have_value("worse since noon")


def test_a_policy_is_changed_with_the_revision_that_the_person_saw(other_site: MakeSite, visit: Visit) -> None:
    def saved(request: httpx.Request) -> httpx.Response:
        document = json.loads(request.content)["document"]
        return httpx.Response(200, json={"kind": "gate", "revision": 2, "document": document})

    site = other_site(on_action=saved)
    page = visit(site).open(f"{MODEL}/policies?kind=gate")
    page.fill("[name=min_rows]", "12")
    page.click("main form button.primary")
    expect(page.locator(".notice.bad")).to_contain_text("min_rows")
    expect(page.locator("[name=min_rows]")).to_have_value("12")
    assert site.replay.sent == []
    page.fill("[name=min_rows]", "400")
    page.fill("[name=reason]", "more evidence")
    page.click("main form button.primary")
    expect(page.locator(".flash")).to_contain_text("revision 2")
    sent = json.loads(site.replay.sent[0].content)
    assert (sent["document"]["min_rows"], sent["expected_revision"], sent["reason"]) == (400, 1, "more evidence")


def test_a_policy_of_a_backtest_is_switched_on_for_a_model(other_site: MakeSite, visit: Visit) -> None:
    def saved(request: httpx.Request) -> httpx.Response:
        document = json.loads(request.content)["document"]
        kind = request.url.path.rpartition("/")[2]
        return httpx.Response(200, json={"kind": kind, "revision": 2, "document": document})

    site = other_site(on_action=saved)
    report = next(one.partition("/switch")[0] for one in PAGES if "/switch" in one)
    page = visit(site).open(report)
    page.click("main table#ways a:text-is('Use for a model')")
    expect(page.locator("[name=model]").first).to_have_value("electricity")
    page.click("main form button:text-is('Show what would change')")
    expect(page.locator("#changes")).to_contain_text("every rows")
    assert site.replay.sent == []
    page.fill("[name=reason]", "proved on the weather")
    page.click("main form button:text-is('Switch it on')")
    expect(page.locator(".flash")).to_contain_text("electricity now works by policy learners-on-schedule")
    sent = {one.url.path.rpartition("/")[2]: json.loads(one.content) for one in site.replay.sent}
    assert sent["retrain"]["document"]["every_rows"] == 2_000
    assert sent["rollout"]["document"]["adaptive"]["members"] == 9
    assert {one["reason"] for one in sent.values()} == {"proved on the weather"}


def test_a_change_refreshes_its_part_and_leaves_an_open_form_alone(other_site: MakeSite, visit: Visit) -> None:
    site = other_site()
    page = visit(site).open(MODEL)
    expect(page.locator("[data-live-state=on]")).to_be_visible()
    page.click(".head .actions summary:text-is('Retrain')")
    page.fill(".confirm[open] textarea[name=reason]", "half a sentence")
    answers = site.replay.recording.answers
    key = "registry GET /v1/models/electricity/versions?limit=500"
    before = answers[key]
    answers[key] = {**before, "text": before["text"].replace('"stage":"live"', '"stage":"retired"')}
    try:
        site.replay.push("registry", "model", name="electricity")
        expect(page.locator("#versions .state-retired").first).to_be_visible()
    finally:
        answers[key] = before
    expect(page.locator(".confirm[open] textarea[name=reason]")).to_have_value("half a sentence")


def test_a_run_that_ends_takes_its_buttons_times_and_announcement_with_it(other_site: MakeSite, visit: Visit) -> None:
    site = other_site()
    path = next(one for one in PAGES if re.fullmatch(r"/training/[0-9a-f-]{36}", one))
    key = f"trainer GET /v1/runs/{path.rpartition('/')[2]}"
    answers = site.replay.recording.answers
    ended = answers[key]
    running = {**json.loads(ended["text"]), "state": "training", "ended_at": None, "version": None}
    answers[key] = {**ended, "text": json.dumps(running)}
    visitor = visit(site)
    visitor.page.clock.install()
    said = base64.urlsafe_b64encode(b"The training run was requested.").decode()
    visitor.page.context.add_cookies([{"name": "modelyard_flash", "value": said, "url": site.url}])
    try:
        page = visitor.open(path)
        expect(page.locator(".flash")).to_have_text("The training run was requested.")
        expect(page.locator("[data-live-state=on]")).to_be_visible()
        expect(page.locator("#actions summary")).to_have_text("Cancel the run")
        answers[key] = ended
        site.replay.push("trainer", "run", name="electricity")
        expect(page.locator("#actions summary")).to_have_count(0)
        expect(page.locator("#request time")).to_have_count(3)
        expect(page.locator("#outcome")).to_contain_text("Next: send a request")
        page.clock.fast_forward(5_000)
        expect(page.locator(".flash")).to_have_count(0)
    finally:
        answers[key] = ended


def test_a_broken_connection_is_shown_and_a_service_away_leaves_the_rest_of_the_page(
    other_site: MakeSite, visit: Visit
) -> None:
    page = visit(other_site(away={"monitor"})).open("/")
    expect(page.locator("#models .notice")).to_contain_text("monitor is away")
    expect(page.locator("#rollouts h2")).to_be_visible()
    expect(page.locator("#runs table tbody tr").first).to_be_visible()
    expect(page.locator("main > .notice.warn")).to_contain_text("monitor")


def test_pages_are_reached_and_rows_are_opened_by_keys(site: Site, visit: Visit) -> None:
    page = visit(site).open("/")
    page.keyboard.press("g")
    page.keyboard.press("m")
    page.wait_for_url("**/models")
    page.keyboard.press("j")
    assert page.locator("tr.selected").count() == 1
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/electricity")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"


def test_tables_are_sorted_filtered_and_copied_from(site: Site, visit: Visit) -> None:
    page = visit(site).open("/components")
    numbers = page.locator("#sample tbody td.num")
    page.click("#sample th:has-text('requests') button")
    assert numbers.all_inner_texts() == ["7", "90", "1,200"]
    page.click("#sample th:has-text('requests') button")
    assert numbers.all_inner_texts() == ["1,200", "90", "7"]
    assert page.locator("#sample th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.fill("[data-filter=sample]", "canary")
    assert page.locator("#sample tbody tr:visible").count() == 1
    page.click(".code .copy >> nth=0")
    assert page.evaluate("navigator.clipboard.readText()").startswith("SELECT count()")


def test_times_are_in_the_zone_of_the_viewer_with_utc_on_hover(site: Site, visit: Visit) -> None:
    time = visit(site).open("/").locator("time[data-local]").first
    utc = re.search(r"(\d\d):(\d\d):\d\d UTC", time.get_attribute("title") or "")
    local = re.search(r"(\d\d):(\d\d)", time.inner_text())
    assert utc and local
    assert (int(utc[1]) + 1) % 24 == int(local[1])
    assert utc[2] == local[2]


def test_a_model_is_uploaded_understood_and_registered(other_site: MakeSite, visit: Visit, tmp_path: Path) -> None:
    version = {
        "model": "rules",
        "version": 1,
        "digest": "sha256:0",
        "stage": "registered",
        "created_by": "admin",
        "created_at": "2026-01-01T00:00:00Z",
        "correlation_id": "c",
        "missing_blobs": [],
    }
    (tmp_path / "predict.py").write_text("def predict(rows):\n    return ['low' for row in rows]\n")
    (tmp_path / "sample.csv").write_text("n,answer\n1,low\n2,low\n3,high\n")
    site = other_site(on_action=lambda _: httpx.Response(200, json=version))
    site.replay.recording.answers["registry GET /v1/models/rules"] = {
        "status": 200,
        "type": "application/json",
        "text": json.dumps({"name": "rules", "revision": 1, "latest_version": 0, "created_at": "2026-01-01T00:00:00Z"}),
    }
    visitor = visit(site)
    page = visitor.open("/models-register?model=rules")
    mismatch = "field => field.validity.patternMismatch"
    for name, wrong in (("My Model", True), ("../rules", True), ("acme:rules-2", False), ("rules", False)):
        page.fill("[name=model]", name)
        assert page.eval_on_selector("[name=model]", mismatch) is wrong, name
    page.set_input_files("[name=files]", [tmp_path / "predict.py", tmp_path / "sample.csv"])
    page.check("[name=allow_code]")
    page.fill("[name=code_reason]", "our own rules")
    page.click("main form button.primary")
    expect(page.locator("main h1")).to_have_text("Register model")
    expect(page.locator(".figures")).to_contain_text("high, low")
    assert violations(page) == []
    page.set_viewport_size({"width": 380, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.click("main form button.primary")
    expect(page.locator("#steps")).to_contain_text("rules version 1 is registered")
    assert violations(page) == []
    assert any(request.url.path.endswith("/versions/1/finalize") for request in site.replay.sent)


def test_the_catalogue_searches_while_one_types_and_the_address_keeps_it(site: Site, visit: Visit) -> None:
    page = visit(site).open("/models")
    page.fill("main [name=metric_value]", "0.9")
    expect(page.locator("#metric-problem")).to_contain_text("name the metric of this value")
    page.fill("main [name=metric_value]", "")
    expect(page.locator("#metric-problem")).to_be_empty()
    page.fill("main [name=q]", "nothing-like-this")
    page.wait_for_url("**q=nothing-like-this**")
    assert page.locator("#catalogue").count() == 1
