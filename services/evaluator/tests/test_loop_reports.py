"""Published reports of demos and backtests."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modelyard_devstack.testing.access import role_keys, walk_access
from modelyard_devstack.testing.openapi import check_api
from modelyard_evaluator.api.loop_reports import add_loop_reports
from modelyard_evaluator.domain.loop_reports import StoredReport, id_of, read_report
from modelyard_evaluator.store.loop_reports import SqlLoopReports
from modelyard_runtime.access import Authenticator
from modelyard_runtime.errors import Invalid
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app

from .conftest import World

DEVELOPER = {"Authorization": "Bearer developer@default"}


def figures(name: str, overall: float, **more: Any) -> dict[str, Any]:
    known = {"name": name, "metric_overall": overall, "metric": [overall] * 8, "trainings": 3}
    return {**known, "train_cost_usd": 0.5, "alarms": 4, "rollbacks": 1, "seconds_below_frozen": 60.0, **more}


def backtest(**fields: Any) -> dict[str, Any]:
    return {
        "name": "elec2",
        "rows": 1_000,
        "metric": "accuracy",
        "note": "in lockstep",
        "data_notes": ["two rows had equal times"],
        "policies": [figures("adaptive", 0.77)],
        "baselines": {"frozen": figures("frozen", 0.73), "oracle": figures("oracle", 0.79)},
        "curve": {"policy adaptive": [[500, 0.7], [1_000, 0.8]], "oracle": [[500, 0.75], [1_000, 0.85]]},
        **fields,
    }


def demo(**fields: Any) -> dict[str, Any]:
    return {
        "model": "electricity",
        "metric": "mean absolute error",
        "rows_sent": 500,
        "loops": [{"promoted_at": "2026-11-29T12:00:00Z"}, {"promoted_at": None}],
        "accuracy": {"platform": [1.0] * 8, "platform_overall": 1.0, "frozen": [2.0] * 8, "frozen_overall": 2.0},
        "curve": {"platform": [[10, 1.5], [20, 1.0]], "frozen": [[10, 2.0]]},
        "marks": [{"row": 5, "what": "alarm", "loop": 1}],
        "cost": {"training_usd": 0.25},
        "rollback": None,
        **fields,
    }


def app_of(world: World, keys: Authenticator | None = None) -> FastAPI:
    app = create_app(service="evaluator", authenticator=keys or role_keys(), readiness=Readiness())
    add_loop_reports(app, SqlLoopReports(world.database), world.clock)
    return app


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(app_of(world), headers=DEVELOPER) as client:
        yield client


def published(http: TestClient, model: str = "churn", **fields: Any) -> Any:
    return http.post("/v1/loop-reports", json={"model": model, "report": backtest(**fields)})


def given(world: World, model: str) -> str:
    report = read_report(backtest(name=model.replace(":", "-")))
    stored = StoredReport(id_of(model, report), model, report, world.clock(), "anna")
    return str(SqlLoopReports(world.database).add(stored)[0].id)


def test_a_report_is_published_once_and_read_with_its_curves(http: TestClient) -> None:
    first = http.post("/v1/loop-reports", json={"model": "electricity", "report": demo()})
    again = http.post("/v1/loop-reports", json={"model": "electricity", "report": demo()})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["created_by"] == "developer@default"
    report = http.get(f"/v1/loop-reports/{first.json()['report_id']}").json()["report"]
    platform, frozen = report["ways"]
    assert (platform["title"], platform["overall"], platform["is_platform"]) == ("platform", 1.0, True)
    assert (platform["trainings"], platform["cost_usd"], frozen["trainings"]) == (2, 0.25, None)
    assert platform["curve"] == [[10, 1.5], [20, 1.0]]
    assert (report["lower_is_better"], report["marks"]) == (True, [{"row": 5, "what": "alarm"}])
    [listed] = http.get("/v1/loop-reports").json()["items"]
    assert [way["curve"] for way in listed["report"]["ways"]] == [[], []]


def test_a_backtest_has_policies_first_and_baselines_have_no_cost() -> None:
    report = read_report(backtest())
    assert [way.title for way in report.ways] == ["policy adaptive", "version 1 frozen", "best version in hindsight"]
    policy, frozen, _ = report.ways
    assert (policy.cost_usd, policy.alarms, frozen.cost_usd, frozen.trainings) == (0.5, 4, None, 3)
    assert (report.lower_is_better, report.note) == (False, "in lockstep two rows had equal times")


def test_a_backtest_has_the_curves_of_policies_and_baselines_and_an_older_one_has_none() -> None:
    policy, frozen, oracle = read_report(backtest()).ways
    assert (policy.curve, frozen.curve, oracle.curve[-1]) == (((500, 0.7), (1_000, 0.8)), (), (1_000, 0.85))
    older = {name: value for name, value in backtest().items() if name != "curve"}
    assert [way.curve for way in read_report(older).ways] == [(), (), ()]


def stated(**gate: Any) -> dict[str, Any]:
    return {"gate": gate, "retrain": {}, "rollout": {}}


def test_the_policies_of_a_backtest_are_kept_and_left_out_of_lists(http: TestClient) -> None:
    new = backtest(policies=[figures("adaptive", 0.77, documents=stated(min_rows=60))], row_interval_s=1_800.0)
    body = {"model": "churn", "report": new}
    first = http.post("/v1/loop-reports", json=body).json()
    report = http.get(f"/v1/loop-reports/{first['report_id']}").json()["report"]
    assert (report["ways"][0]["documents"], report["row_interval_s"]) == (stated(min_rows=60), 1_800)
    assert "documents" not in report["ways"][1], "baselines have none"
    [listed] = http.get("/v1/loop-reports").json()["items"]
    assert "documents" not in listed["report"]["ways"][0]


def test_a_report_that_does_not_state_its_policies_keeps_the_id_that_it_had() -> None:
    dumped = read_report(backtest()).model_dump(mode="json")
    assert "row_interval_s" not in dumped
    assert not any("documents" in way for way in dumped["ways"])
    assert str(id_of("churn", read_report(backtest()))) == "66a15f33-e0aa-5ecc-a2bb-8d0e56531edc"
    untimed = backtest(row_interval_s=None)
    assert id_of("churn", read_report(untimed)) == id_of("churn", read_report(backtest()))


@pytest.mark.parametrize(
    "document",
    [
        backtest(policies=[figures("x", 0.5, documents={"gate": {}})]),
        backtest(policies=[figures("x", 0.5, documents={**stated(), "more": {}})]),
        backtest(policies=[figures("x", 0.5, documents={**stated(), "gate": []})]),
        backtest(policies=[figures("x", 0.5, documents=stated(metric="w" * 20_000))]),
        backtest(policies=[figures("x", 0.5, documents=stated(min_gain=float("nan")))]),
        backtest(policies=[figures("x", 0.5, documents=7)]),
        backtest(row_interval_s=0),
        backtest(row_interval_s=float("inf")),
        backtest(row_interval_s="soon"),
        {},
        {"policies": [], "baselines": {}},
        backtest(policies=[{"name": "x"}]),
        backtest(policies="many"),
        backtest(rows=-1),
        backtest(policies=[figures("x", float("nan"))]),
        backtest(baselines=[1]),
        demo(accuracy=[1], cost=7),
        demo(curve={"platform": [[1, 2.0]] * 2_001}),
        demo(marks=[{"row": "far"}]),
        demo(loops=None),
    ],
)
def test_what_is_no_report_is_refused_with_the_name_of_the_field(document: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        read_report(document)
    assert refused.value.field == "report"


def test_fields_of_a_newer_report_are_left_out() -> None:
    assert read_report(backtest(later={"a": 1})) == read_report(backtest())


def test_lists_hold_only_reports_of_workspaces_that_the_caller_may_read(world: World, http: TestClient) -> None:
    given(world, "acme:sample")
    assert published(http).status_code == 201
    assert [one["model"] for one in http.get("/v1/loop-reports").json()["items"]] == ["churn"]
    acme = {"Authorization": "Bearer viewer@acme"}
    assert [one["model"] for one in http.get("/v1/loop-reports", headers=acme).json()["items"]] == ["acme:sample"]
    admin = {"Authorization": "Bearer admin@*"}
    assert len(http.get("/v1/loop-reports", headers=admin).json()["items"]) == 2
    assert http.get("/v1/loop-reports", headers=admin, params={"model": "none"}).json()["items"] == []


def test_only_those_who_may_start_evaluations_in_the_workspace_publish(http: TestClient) -> None:
    viewer = {"Authorization": "Bearer viewer@default"}
    body = {"model": "churn", "report": backtest()}
    assert http.post("/v1/loop-reports", json=body, headers=viewer).status_code == 403
    assert published(http, "acme:sample").status_code == 403
    refused = http.post("/v1/loop-reports", json={"model": "churn", "report": {}})
    assert (refused.status_code, refused.json()["field"]) == (422, "report")


def test_an_unknown_report_is_named(http: TestClient) -> None:
    for report_id in ("11111111-1111-4111-8111-111111111111", "x"):
        answer = http.get(f"/v1/loop-reports/{report_id}")
        assert (answer.status_code, answer.json()["field"]) == (404, "report_id")


async def test_every_endpoint_grants_each_role_what_the_rules_say(world: World) -> None:
    samples = {"report_id": given(world, "acme:sample")}
    assert await walk_access(lambda keys: app_of(world, keys), samples=samples) > 20


@pytest.mark.slow
def test_answers_keep_to_the_openapi_document(world: World) -> None:
    given(world, "acme:sample")
    assert check_api(app_of(world)) >= 3
