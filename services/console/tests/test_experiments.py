"""Experiments: the list, runs with their values, runs side by side, one run with its files."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from modelyard.records import ExperimentRun, MetricValue
from modelyard_console.domain.experiments import columns, compare, metric_chart, shown, training_id
from modelyard_console.pages.components import HOSTILE

from .conftest import World

AT = "2026-11-29T11:00:00Z"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
EXPERIMENT = {
    "id": 3,
    "workspace": "default",
    "name": "spam",
    "lifecycle": "active",
    "runs": 2,
    "created_at": AT,
    "updated_at": AT,
    "created_by": "anna",
}


def value(number: float | None, step: int = 0, text: str = "") -> dict[str, Any]:
    return {"step": step, "at": AT, "value": number, "text": text or str(number)}


def a_run(run_id: str = "r1", **changes: Any) -> dict[str, Any]:
    given = {"id": run_id, "experiment_id": 3, "name": f"name of {run_id}", "user": "anna", "status": "FINISHED"}
    times = {"started_at": AT, "ended_at": "2026-11-29T11:00:31Z"}
    values = {"params": {"depth": "3"}, "tags": {"team": "risk", "mlflow.user": "root"}}
    return {**given, **times, **values, "metrics": {"loss": value(0.25, 4)}, **changes}


@pytest.fixture
def tracked(world: World) -> World:
    one, two = a_run(), a_run("r2", params={"depth": "5"}, metrics={"loss": value(None, 4, "nan")})
    world.answers.add("/v1/experiments", {"items": [EXPERIMENT], "next_after": None})
    world.answers.add("/v1/experiments/3", EXPERIMENT)
    world.answers.add("/v1/experiments/3/runs", {"items": [one, two], "next_after": "abc"})
    points = [value(1 / (step + 1), step) for step in range(5)]
    for run in (one, two):
        world.answers.add(f"/v1/runs/{run['id']}", run)
        world.answers.add(f"/v1/runs/{run['id']}/metrics/loss", {"items": points, "next_after": None})
    files = [{"path": "plots", "size_bytes": None}, {"path": "config.json", "size_bytes": 12}]
    world.answers.add("/v1/runs/r1/artifacts", {"items": files, "next_after": None})
    world.answers.add("/v1/runs/r1/artifacts/config.json", httpx.Response(200, content=b'{"a": 1}'))
    return world


def test_columns_are_the_values_that_most_runs_have() -> None:
    many = {f"m{n}": value(1.0) for n in range(9)}
    runs = [ExperimentRun.model_validate(a_run(metrics=many)), ExperimentRun.model_validate(a_run())]
    metrics, params = columns([*runs, ExperimentRun.model_validate(a_run())])
    assert (len(metrics), "loss" in metrics, params) == (6, True, ["depth"])


def test_a_chart_has_a_line_for_each_run_and_gaps_where_a_run_has_no_step() -> None:
    first = [MetricValue.model_validate(value(number, step)) for step, number in ((0, 1.0), (1, 0.5))]
    second = [MetricValue.model_validate(value(0.7, 1)), MetricValue.model_validate(value(None, 2, "nan"))]
    chart = metric_chart("loss", [("a", first), ("b", second)])
    assert list(chart.x) == [0, 1, 2]
    assert [list(line.values) for line in chart.lines] == [[1.0, 0.5, None], [None, 0.7, None]]
    assert (shown(second[1]), shown(None)) == ("nan", "–")


def test_what_differs_between_runs_comes_first() -> None:
    runs = [ExperimentRun.model_validate(a_run()), ExperimentRun.model_validate(a_run("r2", params={"depth": "5"}))]
    groups = {group.title: group for group in compare(runs, NOW)}
    assert [row.changed for row in groups["Parameters"].rows] == [True]
    assert [row.name for row in groups["Tags"].rows] == ["team"]


def test_a_run_of_the_trainer_leads_to_its_training_run() -> None:
    hexadecimal = "0190a6c1000070008000000000000072"
    run = ExperimentRun.model_validate(a_run(hexadecimal, model="elec", created_by="trainer"))
    assert training_id(run) == "0190a6c1-0000-7000-8000-000000000072"
    assert training_id(ExperimentRun.model_validate(a_run())) is None


def test_the_list_shows_experiments_and_how_to_begin_without_any(tracked: World) -> None:
    tracked.sign_in("viewer-key")
    page = tracked.browser.get("/experiments?q=spa").text
    assert 'href="/experiments/3"' in page and "spam" in page
    assert tracked.answers.asked[-1].url.params["q"] == "spa"
    tracked.answers.add("/v1/experiments", {"items": [], "next_after": None})
    assert "MLFLOW_TRACKING_URI" in tracked.browser.get("/experiments").text


def test_runs_are_filtered_ordered_and_paged_in_the_address(tracked: World) -> None:
    tracked.sign_in("viewer-key")
    page = tracked.browser.get("/experiments/3", params={"filter": "metrics.loss < 1", "order_by": "metrics.loss ASC"})
    asked = next(one for one in tracked.answers.asked if one.url.path.endswith("/runs")).url.params
    assert (asked["filter"], asked["order_by"]) == ("metrics.loss < 1", "metrics.loss ASC")
    assert "0.250" in page.text or "0.25" in page.text
    assert "nan" in page.text and "after=abc" in page.text and "name of r2" in page.text


def test_chosen_runs_are_compared_with_a_chart(tracked: World) -> None:
    tracked.sign_in("viewer-key")
    page = tracked.browser.get("/experiments/3/compare?run=r1&run=r2").text
    assert "data-chart" in page and "Parameters" in page and "name of r1" in page
    assert tracked.browser.get("/experiments/3/compare?run=r1").status_code == 422


def test_a_run_shows_values_charts_files_and_what_it_led_to(tracked: World) -> None:
    versions = [{"model": "spam", "version": 4, "stage": "registered"}]
    logged = [{"id": "m-1", "name": "model", "status": "READY", "model_type": "", "created_at": AT}]
    tracked.answers.add("/v1/runs/r1", a_run(versions=versions, logged_models=logged))
    tracked.sign_in("viewer-key")
    page = tracked.browser.get("/experiments/3/runs/r1").text
    assert "data-chart" in page and "depth" in page and "risk" in page and "mlflow.user" not in page
    assert '/models/spam/versions/4"' in page and "m-1" in page
    assert "folder=plots" in page and "/experiments/3/runs/r1/files/config.json" in page
    assert tracked.browser.get("/experiments/4/runs/r1").status_code == 404


def test_a_file_is_saved_and_never_shown_as_a_page(tracked: World) -> None:
    tracked.sign_in("viewer-key")
    answer = tracked.browser.get("/experiments/3/runs/r1/files/config.json")
    assert (answer.content, answer.headers["content-disposition"]) == (b'{"a": 1}', "attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert tracked.browser.get("/experiments/3/runs/r1/files/gone.txt").status_code == 404


def test_hostile_texts_stay_texts(tracked: World) -> None:
    hostile = a_run(name=HOSTILE, params={HOSTILE: HOSTILE}, tags={HOSTILE: HOSTILE}, user=HOSTILE)
    tracked.answers.add("/v1/runs/r1", hostile)
    tracked.answers.add("/v1/experiments/3", {**EXPERIMENT, "name": HOSTILE})
    tracked.answers.add("/v1/experiments/3/runs", {"items": [hostile], "next_after": None})
    tracked.sign_in("viewer-key")
    for address in ("/experiments/3", "/experiments/3/runs/r1", "/experiments/3/compare?run=r1&run=r2"):
        assert "<script>document" not in tracked.browser.get(address).text, address


def test_the_list_says_so_when_the_registry_is_away(tracked: World) -> None:
    tracked.sign_in("viewer-key")
    tracked.answers.away.add("registry")
    answer = tracked.browser.get("/experiments")
    assert "registry" in answer.text and answer.status_code in (200, 503)
