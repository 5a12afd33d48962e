"""Evaluations: the list, one with its numbers, and the form that requests one."""

from typing import Any

import httpx
import pytest

from modelyard import ReportResult
from modelyard_console.domain.evaluations import class_rows, columns_of, metric_rows
from modelyard_console.pages.components import HOSTILE

from .conftest import World
from .test_approvals import AT, evaluation

REPORT: dict[str, Any] = {
    **evaluation()["report"],
    "by_class": {
        "DOWN": {"rows": 100, "champion_right": 40, "challenger_right": 60},
        "UP": {"rows": 200, "champion_right": 150, "challenger_right": 140},
    },
    "metrics": {"champion": {"accuracy": 0.5, "log_loss": 0.7}, "challenger": {"accuracy": 0.75}},
    "others": [{"version": 1, "verdict": "reject", "difference": -0.02, "low": -0.04, "high": 0.001}],
    "policy": {"schema_version": 1, "min_rows": 30},
}
ONE = {**evaluation(), "report": REPORT, "model": "elec", "dataset_digest": "sha256:d00d", "requested_by": "registry"}
ROWS = [
    {
        "only": "champion_right",
        "row": {"price": 0.5, "day": "mon"},
        "label": "UP",
        "champion": "UP",
        "challenger": "DOWN",
    }
]


@pytest.fixture
def judged(world: World) -> World:
    world.answers.add("/v1/evaluations", {"items": [ONE]})
    world.answers.add("/v1/evaluations/e-1", ONE)
    world.answers.add("/v1/evaluations/e-1/rows", {"items": ROWS})
    model = {"name": "elec", "revision": 5, "latest_version": 2, "created_at": AT, "aliases": {"champion": 1}}
    world.answers.add("/v1/models", {"items": [model]})
    world.answers.add("/v1/models/elec", model)
    version = {"model": "elec", "digest": "sha256:x", "created_at": AT, "created_by": "t", "correlation_id": "c"}
    versions = [{**version, "version": 1, "stage": "live"}, {**version, "version": 2, "stage": "registered"}]
    world.answers.add("/v1/models/elec/versions", {"items": versions, "next_after": None})
    return world


def test_numbers_of_both_sides_stand_beside_each_other() -> None:
    report = ReportResult.model_validate(REPORT)
    accuracy, loss = metric_rows(report)
    assert (accuracy.name, accuracy.champion, accuracy.challenger, accuracy.difference) == ("accuracy", 0.5, 0.75, 0.25)
    assert (loss.name, loss.challenger, loss.difference) == ("log_loss", None, None)
    up, down = class_rows(report)
    assert (up.name, up.champion, up.challenger, up.rows) == ("UP", 0.75, 0.7, 200)
    assert down.name == "DOWN" and down.difference == pytest.approx(0.2)
    assert columns_of([]) == []


def test_the_list_shows_verdicts_and_intervals(judged: World) -> None:
    judged.sign_in("viewer-key")
    page = judged.browser.get("/evaluations?model=elec").text
    assert "v3 against v2" in page and 'class="interval"' in page and "state-deploy" in page
    assert "/evaluations/new" not in page, "a viewer starts nothing"
    assert judged.answers.asked[-1].url.params["model"] == "elec"


def test_one_evaluation_shows_everything_that_decided(judged: World) -> None:
    judged.sign_in()
    page = judged.browser.get("/evaluations/e-1").text
    for shown in ("Better by 0.03.", "+0.030", "UP", "75 %", "−5.0 points", "min rows", "price", "DOWN", "registry"):
        assert shown in page, shown
    assert judged.answers.asked[-1].url.params.get("only", "champion_right") == "champion_right"
    assert "schema version" not in page


def test_rows_of_the_other_side_are_one_click_away(judged: World) -> None:
    judged.sign_in()
    judged.browser.get("/evaluations/e-1?only=challenger_right")
    [asked] = [one for one in judged.answers.asked if one.url.path.endswith("/rows")]
    assert asked.url.params["only"] == "challenger_right"
    assert judged.browser.get("/evaluations/e-1?only=nobody").status_code == 422


def test_an_open_evaluation_says_what_it_waits_for(judged: World) -> None:
    waits = {**ONE, "verdict": None, "report": None, "stage": "waiting", "note": "waits for 20 more labels"}
    judged.answers.add("/v1/evaluations/e-1", waits)
    judged.answers.add("/v1/evaluations", {"items": [waits]})
    judged.sign_in()
    for path in ("/evaluations", "/evaluations/e-1"):
        assert "waits for 20 more labels" in judged.browser.get(path).text


def test_an_open_evaluation_shows_the_live_share_of_its_version(judged: World) -> None:
    live = {**ONE, "verdict": None, "report": None, "stage": "waiting", "looks": 2, "live_share_percent": 5.0}
    judged.answers.add("/v1/evaluations", {"items": [live]})
    judged.sign_in()
    assert "open, 5 % live" in judged.browser.get("/evaluations").text


def test_an_evaluation_without_a_champion_is_shown(judged: World) -> None:
    first = {**ONE, "champion": None, "report": {**REPORT, "comparison": None}}
    judged.answers.add("/v1/evaluations/e-1", first)
    judged.sign_in()
    page = judged.browser.get("/evaluations/e-1")
    assert page.status_code == 200 and "no champion to compare with" in page.text


def test_a_comparison_is_requested(judged: World) -> None:
    judged.answers.add("/v1/evaluations", ONE, "POST")
    judged.sign_in()
    form = {"csrf": judged.csrf("/evaluations/new?model=elec"), "model": "elec", "challenger": "2", "champion": "1"}
    answer = judged.browser.post("/evaluations", data={**form, "reason": "again"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/evaluations/e-1")
    [sent] = [one for one in judged.answers.asked if one.method == "POST"]
    assert sent.content.replace(b" ", b"") == (
        b'{"model":"elec","challenger_version":2,"champion_version":1,"reason":"again"}'
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"challenger": ""}, "Challenger: choose a version"),
        ({"champion": "x"}, "Champion: give the number of a version"),
        ({"champion": "²"}, "Champion: give the number of a version"),
        ({"reason": " "}, "Reason: fill in this field"),
    ],
)
def test_a_wrong_field_is_named_and_the_others_are_kept(judged: World, changes: dict[str, str], problem: str) -> None:
    judged.sign_in()
    form = {"csrf": judged.csrf(), "model": "elec", "challenger": "2", "champion": "", "reason": "kept reason"}
    answer = judged.browser.post("/evaluations", data={**form, **changes})
    assert (answer.status_code, problem in answer.text) == (422, True)
    assert "kept reason" in answer.text or "reason" in changes
    assert not [one for one in judged.answers.asked if one.method == "POST"]


def test_a_refusal_of_the_evaluator_stands_at_the_field(judged: World) -> None:
    refused = {"title": "Not Found", "detail": "challenger_version: no version 2", "field": "challenger_version"}
    judged.answers.add("/v1/evaluations", httpx.Response(404, json=refused), "POST")
    judged.sign_in()
    form = {"csrf": judged.csrf(), "model": "elec", "challenger": "2", "reason": "kept reason"}
    answer = judged.browser.post("/evaluations", data=form)
    assert answer.status_code == 404
    assert 'id="e-challenger">challenger_version: no version 2' in answer.text and "kept reason" in answer.text


def test_a_viewer_cannot_request_one(judged: World) -> None:
    judged.sign_in("viewer-key")
    assert judged.browser.get("/evaluations/new").status_code == 403
    form = {"csrf": judged.csrf(), "model": "elec", "challenger": "2", "reason": "why"}
    assert judged.browser.post("/evaluations", data=form).status_code == 403


def test_pages_work_while_the_evaluator_is_away(judged: World) -> None:
    judged.sign_in()
    judged.answers.away.add("evaluator")
    answer = judged.browser.get("/evaluations")
    assert (answer.status_code, "The evaluator is away" in answer.text) == (200, True)
    assert judged.browser.get("/evaluations/e-1").status_code == 503
    judged.answers.away = {"registry"}
    assert "The registry is away" in judged.browser.get("/evaluations/new?model=elec").text
    assert judged.browser.get("/evaluations/nothing").status_code == 404


def test_hostile_text_is_shown_as_text(judged: World) -> None:
    report = {
        **REPORT,
        "reasons": [HOSTILE],
        "by_class": {HOSTILE: {"rows": 1, "champion_right": 0, "challenger_right": 1}},
    }
    judged.answers.add("/v1/evaluations/e-1", {**ONE, "report": report, "reason": HOSTILE, "note": HOSTILE})
    row = {"only": "champion_right", "row": {HOSTILE: HOSTILE}, "label": HOSTILE, "champion": "a", "challenger": "b"}
    judged.answers.add("/v1/evaluations/e-1/rows", {"items": [row]})
    judged.answers.add("/v1/evaluations", {"items": [{**ONE, "report": report, "model": HOSTILE}]})
    judged.sign_in()
    for path in ("/evaluations", "/evaluations/e-1", "/evaluations/new?model=%3Cscript%3Ealert(1)"):
        page = judged.browser.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_empty_lists_say_what_to_do(judged: World) -> None:
    judged.answers.add("/v1/evaluations", {"items": []})
    judged.sign_in()
    assert "modelyard evaluate" in judged.browser.get("/evaluations").text
