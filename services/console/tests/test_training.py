"""Training: runs in a list, one run with its log, runs side by side, cancelling."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from modelyard import TrainingRun
from modelyard_console.domain.training import candidates, compare_runs, duration_s, metric_groups
from modelyard_console.pages.components import HOSTILE

from .conftest import World

AT = "2026-11-29T11:00:00Z"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def a_run(run_id: str = "r-1", **changes: Any) -> dict[str, Any]:
    given = {"run_id": run_id, "model": "elec", "state": "succeeded", "correlation_id": "c-1", "recipe": "tabular"}
    times = {"created_at": AT, "started_at": AT, "ended_at": "2026-11-29T11:00:31Z", "as_of": AT}
    return {**given, **times, "version": 4, "requested_by": "anna", "policy": {"schema_version": 1}, **changes}


METRICS = {
    "candidate_linear": 0.70,
    "candidate_trees": 0.75,
    "validation_accuracy": 0.75,
    "baseline_accuracy": 0.6,
    "accuracy": 0.73,
    "fit_s": 1.5,
}


@pytest.fixture
def trained(world: World) -> World:
    one = a_run(
        metrics=METRICS, log=["15% starting", "90% writing"], why="the error rate rose", dataset_digest="sha256:d"
    )
    two = a_run(
        "r-2", parameters={"depth": "4"}, metrics={"accuracy": 0.7}, version=None, state="failed", reason="no rows"
    )
    world.answers.add("/v1/runs", {"items": [one, two], "next_after": None})
    world.answers.add("/v1/runs/r-1", one)
    world.answers.add("/v1/runs/r-2", two)
    world.answers.add("/v1/evaluations", {"items": []})
    return world


def test_the_best_candidate_comes_first_whether_more_or_less_is_better() -> None:
    run = TrainingRun.model_validate(a_run(metrics=METRICS))
    assert [(one.name, one.won) for one in candidates(run)] == [("trees", True), ("linear", False)]
    losses = {"candidate_linear": 1.2, "candidate_trees": 3.4, "validation_mae": 1.2, "validation_r2": 0.4}
    assert [one.name for one in candidates(TrainingRun.model_validate(a_run(metrics=losses)))] == ["linear", "trees"]


def test_metrics_are_grouped_by_what_they_were_measured_on() -> None:
    groups = dict(metric_groups(TrainingRun.model_validate(a_run(metrics=METRICS))))
    assert groups["On held-out rows"] == [("accuracy", 0.73)]
    assert groups["On validation rows"] == [("accuracy", 0.75)]
    assert groups["Of the baseline"] == [("accuracy", 0.6)]
    assert groups["Other"] == [("fit_s", 1.5)]


def test_a_duration_ends_with_the_run() -> None:
    assert duration_s(TrainingRun.model_validate(a_run()), NOW) == 31.0
    assert duration_s(TrainingRun.model_validate(a_run(ended_at=None)), NOW) == 3600.0
    assert duration_s(TrainingRun.model_validate(a_run(started_at=None)), NOW) is None


def test_what_differs_between_runs_comes_first() -> None:
    runs = [
        TrainingRun.model_validate(a_run("r-1")),
        TrainingRun.model_validate(a_run("r-2", recipe="deep", version=5)),
    ]
    head = next(group for group in compare_runs(runs, NOW) if group.title == "Run")
    assert [row.name for row in head.rows if row.changed] == ["recipe", "version"]
    assert [row.name for row in head.rows][:2] == ["recipe", "version"]


def test_the_list_filters_by_model_and_state_in_the_address(trained: World) -> None:
    trained.sign_in("viewer-key")
    page = trained.browser.get("/training?model=elec&state=failed").text
    asked = trained.answers.asked[-1].url.params
    assert (asked["model"], asked.get_list("state")) == ("elec", ["failed", "cancelled"])
    assert "no rows" in page and "the error rate rose" in page and "accuracy: 0.730" in page
    assert "/training/new" not in page, "a viewer starts nothing"
    assert "refused" not in trained.browser.get("/training").request.url.query.decode()
    assert "refused" not in trained.answers.asked[-1].url.params.get_list("state")
    assert trained.browser.get("/training?state=tired").status_code == 422


def test_the_next_page_keeps_the_filters(trained: World) -> None:
    trained.answers.add("/v1/runs", {"items": [a_run()], "next_after": "r-1"})
    trained.sign_in()
    page = trained.browser.get("/training?model=elec&state=succeeded").text
    assert "/training?model=elec&amp;state=succeeded&amp;after=r-1" in page


def test_a_running_run_shows_its_progress_and_can_be_cancelled_with_a_reason(trained: World) -> None:
    going = a_run(state="training", progress=0.4, ended_at=None, version=None, log=["39% linear"], reason="fitting")
    trained.answers.add("/v1/runs", {"items": [going]})
    trained.answers.add("/v1/runs/r-1", going)
    trained.answers.add("/v1/runs/r-1/cancel", going, "POST")
    trained.sign_in()
    assert 'value="0.4"' in trained.browser.get("/training").text
    page = trained.browser.get("/training/r-1").text
    assert "40 %" in page and "39% linear" in page and 'data-live="run"' in page
    form = {"csrf": trained.csrf("/training/r-1"), "reason": "wrong target", "back": "/training/r-1"}
    answer = trained.browser.post("/training/r-1/cancel", data=form)
    [sent] = [one for one in trained.answers.asked if one.method == "POST"]
    assert sent.content.replace(b" ", b"") == b'{"reason":"wrongtarget"}'
    assert "The run is being cancelled." in answer.text


def test_a_run_that_ended_or_is_being_cancelled_has_no_such_button(trained: World) -> None:
    trained.sign_in()
    assert "/cancel" not in trained.browser.get("/training/r-1").text
    for changes in ({"cancel_requested": True, "state": "training"}, {"state": "registering"}):
        trained.answers.add("/v1/runs/r-1", a_run(ended_at=None, **changes))
        assert "/cancel" not in trained.browser.get("/training/r-1").text


def test_the_buttons_and_times_of_a_run_follow_its_state(trained: World) -> None:
    trained.sign_in()
    page = trained.browser.get("/training/r-1").text
    for part, shown in (("actions", "Train again"), ("request", "<dt>ended</dt>"), ("data", "<dt>dataset</dt>")):
        live = re.search(rf'id="{part}"[^>]*data-live="run"[^>]*data-model="elec"', page)
        assert live and shown in page[live.end() :].partition("data-live")[0], part


def test_a_run_that_made_a_version_shows_what_comes_next(trained: World) -> None:
    trained.sign_in()
    assert "shows when it serves" in trained.browser.get("/training/r-1").text
    trained.answers.add("/v1/routes/elec", {"route": "elec", "plan": {"root": {}}})
    assert 'Next: <a href="/routes/elec/try">send a request</a>' in trained.browser.get("/training/r-1").text
    assert "Next:" not in trained.browser.get("/training/r-2").text, "it made no version"


def test_a_refused_cancellation_keeps_the_reason(trained: World) -> None:
    refused = {"title": "Conflict", "detail": "a run that is registering cannot be cancelled"}
    trained.answers.add("/v1/runs/r-1/cancel", httpx.Response(409, json=refused), "POST")
    trained.sign_in()
    answer = trained.browser.post("/training/r-1/cancel", data={"csrf": trained.csrf(), "reason": "typed reason"})
    assert answer.status_code == 409
    assert "registering cannot be cancelled" in answer.text and "typed reason" in answer.text


def test_a_run_shows_what_it_found_and_what_it_led_to(trained: World) -> None:
    judged = {"evaluation_id": "e-1", "model": "elec", "challenger_version": 4, "verdict": "deploy", "created_at": AT}
    other = {**judged, "evaluation_id": "e-2", "challenger_version": 3}
    trained.answers.add("/v1/evaluations", {"items": [judged, other]})
    trained.sign_in()
    page = trained.browser.get("/training/r-1").text
    for shown in (
        "trees",
        "chosen",
        "15% starting",
        "/models/elec/versions/4",
        "/evaluations/e-1",
        "/timelines/c-1",
        "31 s",
    ):
        assert shown in page, shown
    assert "/evaluations/e-2" not in page


def test_runs_are_compared(trained: World) -> None:
    trained.sign_in()
    page = trained.browser.get("/training/compare?run=r-1&run=r-2").text
    assert "depth" in page and 'class="changed"' in page
    assert trained.browser.get("/training/compare?run=r-1").status_code == 422
    assert trained.browser.get("/training/compare?run=r-1&run=gone").status_code == 404


def test_a_viewer_cannot_cancel(trained: World) -> None:
    trained.answers.add("/v1/runs/r-1", a_run(state="training", ended_at=None))
    trained.sign_in("viewer-key")
    assert "/cancel" not in trained.browser.get("/training/r-1").text
    assert trained.browser.post("/training/r-1/cancel", data={"csrf": trained.csrf(), "reason": "x"}).status_code == 403


def test_pages_work_while_a_service_is_away(trained: World) -> None:
    trained.sign_in()
    trained.answers.away.add("evaluator")
    page = trained.browser.get("/training/r-1")
    assert page.status_code == 200 and "The evaluator is away" in page.text
    trained.answers.away = {"trainer"}
    page = trained.browser.get("/training")
    assert page.status_code == 200 and "The trainer is away" in page.text
    assert trained.browser.get("/training/r-1").status_code == 503


def test_hostile_text_is_shown_as_text(trained: World) -> None:
    texts: dict[str, Any] = {
        "why": HOSTILE,
        "reason": HOSTILE,
        "recipe": HOSTILE,
        "log": [HOSTILE],
        "requested_by": HOSTILE,
    }
    run = a_run(**texts, parameters={HOSTILE: HOSTILE}, metrics={f"candidate_{HOSTILE}": 1.0}, state="failed")
    trained.answers.add("/v1/runs", {"items": [run]})
    trained.answers.add("/v1/runs/r-1", run)
    trained.sign_in()
    for path in ("/training", "/training/r-1", "/training/compare?run=r-1&run=r-2"):
        page = trained.browser.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_empty_lists_say_what_to_do(trained: World) -> None:
    trained.answers.add("/v1/runs", {"items": []})
    trained.sign_in()
    assert "modelyard train churn churn.csv" in trained.browser.get("/training").text
    assert "No such runs" in trained.browser.get("/training?state=failed").text


def test_retraining_starts_on_live_rows(trained: World) -> None:
    trained.answers.add("/v1/runs", a_run("r-9"), "POST")
    trained.answers.add("/v1/recipes", {"items": [{"name": "tabular-classifier", "tasks": ["binary"]}]})
    trained.sign_in()
    form = {"csrf": trained.csrf("/training/new"), "model": "churn", "reason": "fresh labels", "recipe": ""}
    answer = trained.browser.post("/training/retrain", data=form, follow_redirects=False)
    assert answer.headers["location"] == "/training/r-9"
    [sent] = [one for one in trained.answers.asked if one.method == "POST"]
    assert json.loads(sent.content) == {"model": "churn", "reason": "fresh labels"}
    refused = trained.browser.post("/training/retrain", data={**form, "reason": " ", "model": "kept-name"})
    assert (refused.status_code, "kept-name" in refused.text) == (422, True)


def test_a_refused_retraining_names_the_field_and_keeps_the_reason(trained: World) -> None:
    refused = {"title": "Conflict", "detail": "churn has the open run r-8", "field": "model"}
    trained.answers.add("/v1/runs", httpx.Response(409, json=refused), "POST")
    trained.sign_in()
    form = {"csrf": trained.csrf("/training/new"), "model": "churn", "reason": "kept reason"}
    answer = trained.browser.post("/training/retrain", data=form)
    assert (answer.status_code, 'id="e-model">churn has the open run r-8' in answer.text) == (409, True)
    assert "kept reason" in answer.text


def test_a_viewer_cannot_start_a_run(trained: World) -> None:
    trained.sign_in("viewer-key")
    assert trained.browser.get("/training/new").status_code == 403
    form = {"csrf": trained.csrf(), "model": "churn", "reason": "x"}
    assert trained.browser.post("/training/retrain", data=form).status_code == 403
