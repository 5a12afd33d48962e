"""The value of the loop: what callers got beside version 1, trainings and cost."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from modelyard import LoopReport, MembersOverTime, ModelTraffic, RolloutRun, TrafficOverTime, TrainingRun
from modelyard_console.domain.loop_reports import curves_of, gain_of
from modelyard_console.domain.value import beside_first, quality_beside_first, values_of
from modelyard_contracts.manifest import FileEntry, ManifestFile, ModelManifest, TrainingLineage, signed
from modelyard_contracts.policies import GatePolicy, RetrainPolicy, RolloutPolicy
from modelyard_contracts.signature import Column, Output, Signature, Task

from .conftest import World

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
FIRST, SECOND = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
HOSTILE = "<script>alert(1)</script>"
REPORT = "11111111-1111-4111-8111-111111111111"


def bucket(at: datetime, version: int, labelled: int, wrong: int, **fields: Any) -> dict[str, Any]:
    known = {"at": at, "version": version, "variant": "stable", "predictions": labelled, "errors": 0}
    return {**known, "labelled": labelled, "wrong": wrong, **fields}


def served(*items: dict[str, Any]) -> TrafficOverTime:
    return TrafficOverTime.model_validate({"model": "elec", "bucket_s": 3600, "items": items})


def member(at: datetime, version: int, labelled: int, wrong: int, answers_wrong: int) -> dict[str, Any]:
    return {"at": at, "version": version, "labelled": labelled, "wrong": wrong, "answers_wrong": answers_wrong}


def votes(*items: dict[str, Any]) -> MembersOverTime:
    return MembersOverTime.model_validate({"model": "elec", "bucket_s": 3600, "items": items})


def traffic(**fields: Any) -> dict[str, Any]:
    known = {"model": "elec", "predictions": 100, "errors": 0, "labelled": 50, "wrong": 10}
    return {**known, "cost_usd": 0.5, "last_at": NOW, **fields}


def run(**fields: Any) -> dict[str, Any]:
    known = {"run_id": "r", "model": "elec", "state": "succeeded", "correlation_id": "c"}
    return {**known, "cost_usd": 0.25, "created_at": SECOND, **fields}


def rollout(**fields: Any) -> dict[str, Any]:
    known = {"rollout_id": "x", "model": "elec", "action": "start", "state": "promoted", "to_version": 2}
    return {**known, "created_at": SECOND, "changed_at": SECOND, **fields}


def given(world: World) -> None:
    world.answers.add("/v1/traffic", {"items": [traffic()]})
    world.answers.add("/v1/runs", {"items": [run(), run(state="failed"), run(model="quiet")]})
    world.answers.add("/v1/rollouts", {"items": [rollout(), rollout(state="rolled_back", to_version=1)]})
    items = [bucket(FIRST, 1, 10, 2), bucket(SECOND, 2, 10, 1)]
    world.answers.add("/v1/models/elec/traffic", {"model": "elec", "bucket_s": 3600, "items": items})
    items = [member(FIRST, 1, 10, 2, 2), member(SECOND, 1, 10, 4, 1)]
    world.answers.add("/v1/models/elec/members/over-time", {"model": "elec", "bucket_s": 3600, "items": items})
    world.answers.add("/v1/loop-reports", {"items": [published()]})
    world.answers.add(f"/v1/loop-reports/{REPORT}", published())


def published(**fields: Any) -> dict[str, Any]:
    frozen = {"name": "frozen", "title": "version 1 frozen", "overall": 0.7, "parts": [0.7] * 8, "curve": [[10, 0.7]]}
    policy = {"name": "policy a", "title": "policy a", "is_platform": True, "overall": 0.75, "parts": [0.75] * 8}
    policy |= {"trainings": 4, "cost_usd": 0.5, "curve": [[10, 0.7], [20, 0.8]]}
    report = {"kind": "backtest", "name": "loans", "metric": "accuracy", "rows": 1000, "ways": [policy, frozen]}
    report |= {"marks": [{"row": 15, "what": "alarm"}], "note": "in lockstep", **fields}
    return {"report_id": REPORT, "model": "elec", "created_at": NOW, "created_by": "anna", "report": report}


def test_the_answers_are_compared_with_version_1_on_the_rows_on_which_it_voted() -> None:
    found = beside_first(votes(member(FIRST, 1, 10, 2, 2), member(SECOND, 1, 30, 12, 3), member(SECOND, 2, 30, 3, 3)))
    assert found
    assert found.rows == 40
    assert found.answers == pytest.approx(0.875)
    assert found.first == pytest.approx(0.65)
    assert found.gain == pytest.approx(0.225)
    assert beside_first(votes(member(SECOND, 2, 30, 3, 3))) is None


def test_a_smaller_error_is_a_gain() -> None:
    errors = {"mean_absolute_error": 3.0, "answers_mean_absolute_error": 2.0}
    found = beside_first(votes({"at": FIRST, "version": 1, **errors}))
    assert found
    assert (found.is_error, found.gain) == (True, 1.0)


def test_the_chart_weighs_versions_by_their_labels_and_leaves_out_copies() -> None:
    items = [bucket(FIRST, 1, 30, 15), bucket(FIRST, 2, 10, 0, variant="canary")]
    copies = bucket(FIRST, 3, 100, 100, variant="shadow")
    chart = quality_beside_first(served(*items, copies), votes(), [])
    answers, first = chart.lines
    assert list(answers.values) == [pytest.approx(0.625)]
    assert list(first.values) == [pytest.approx(0.5)]


def test_version_1_is_shown_by_its_votes_where_it_votes() -> None:
    items = [bucket(FIRST, 1, 10, 0), bucket(SECOND, 2, 10, 1)]
    found = votes(member(FIRST, 1, 10, 2, 0), member(SECOND, 1, 10, 4, 1))
    chart = quality_beside_first(served(*items), found, [RolloutRun.model_validate(rollout())])
    assert list(chart.lines[1].values) == [pytest.approx(0.8), pytest.approx(0.6)]
    assert [mark.label for mark in chart.marks] == ["v2"]


def test_only_what_happened_in_the_window_counts() -> None:
    runs = [TrainingRun.model_validate(run(created_at=at)) for at in (FIRST, SECOND)]
    rollouts = [
        RolloutRun.model_validate(rollout(created_at=FIRST, state="aborted")),
        RolloutRun.model_validate(rollout()),
    ]
    [found] = values_of([ModelTraffic.model_validate(traffic())], runs, rollouts, SECOND)
    assert (found.trainings, found.promotions, found.rollbacks, found.training_usd) == (1, 1, 0, 0.25)
    assert found.accuracy == pytest.approx(0.8)
    assert found.predictions_usd == 0.5
    assert values_of([], runs, [], None)[0].trainings == 2


def test_the_page_lists_models_with_trainings_and_cost(world: World) -> None:
    world.sign_in()
    given(world)
    page = world.browser.get("/value?window=24h").text
    for shown in ("80 %", "$0.2500", "$0.5000", "quiet", "/value?model=elec&amp;window=24h"):
        assert shown in page, shown
    asked = [request for request in world.answers.asked if request.url.path == "/v1/traffic"]
    assert asked[-1].url.params["since"] == "2026-11-28T12:00:00+00:00"


def test_one_model_is_shown_beside_version_1(world: World) -> None:
    world.sign_in()
    given(world)
    page = world.browser.get("/value?window=24h&model=elec").text
    for shown in ("version 1 alone", "+0.150", "20 labelled rows", "back to v1"):
        assert shown in page, shown
    world.answers.add("/v1/models/elec/members/over-time", {"model": "elec", "bucket_s": 3600, "items": []})
    assert "Version 1 does not vote here" in world.browser.get("/value?model=elec").text


@pytest.mark.parametrize("away", ["monitor", "trainer", "deployer"])
def test_the_page_shows_the_rest_while_a_service_is_away(world: World, away: str) -> None:
    world.sign_in()
    given(world)
    world.answers.away.add(away)
    answer = world.browser.get("/value?model=elec")
    assert (answer.status_code, f"The {away} is away" in answer.text) == (200, True)
    assert "elec" in answer.text


def test_without_any_traffic_the_page_says_what_to_do(world: World) -> None:
    world.sign_in()
    for path in ("/v1/traffic", "/v1/runs", "/v1/rollouts", "/v1/loop-reports"):
        world.answers.add(path, {"items": []})
    page = world.browser.get("/value").text
    assert "modelyard predict" in page
    assert "modelyard backtest" in page


def test_hostile_names_are_shown_as_text(world: World) -> None:
    world.sign_in()
    given(world)
    world.answers.add("/v1/traffic", {"items": [traffic(model=HOSTILE)]})
    answer = world.browser.get("/value", params={"model": HOSTILE})
    assert answer.status_code == 200
    assert HOSTILE not in answer.text


def test_reports_are_listed_with_their_gain_over_version_1(world: World) -> None:
    world.sign_in()
    given(world)
    page = world.browser.get("/value").text
    for shown in (f'href="/value/reports/{REPORT}"', "policy a", "+0.050"):
        assert shown in page, shown


def test_a_report_shows_curves_figures_and_eighths(world: World) -> None:
    world.sign_in()
    given(world)
    page = world.browser.get(f"/value/reports/{REPORT}").text
    for shown in ("Backtest of loans", "in lockstep", "Accuracy over the stream", "$0.5000", "alarm"):
        assert shown in page, shown
    assert page.count('<td class="num">0.750</td>') >= 8


def test_a_gain_is_a_smaller_error_where_the_metric_is_one() -> None:
    report = LoopReport.model_validate(published(lower_is_better=True)["report"])
    assert gain_of(report.ways[0], report) == pytest.approx(-0.05)
    assert gain_of(report.ways[1], report) is None
    assert list(curves_of(report).lines[1].values) == [0.7, None]


def test_an_uploaded_report_is_published_and_shown(world: World) -> None:
    world.sign_in()
    given(world)
    world.answers.add("/v1/loop-reports", published(), "POST")
    form = {"csrf": world.csrf("/value"), "model": "elec"}
    files = {"file": ("report.json", b'{"name": "loans"}', "application/json")}
    answer = world.browser.post("/value/reports", data=form, files=files, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/value/reports/{REPORT}")
    assert b'"loans"' in world.answers.asked[-1].content


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe"])
def test_a_file_that_is_no_report_is_refused_before_it_is_sent(world: World, content: bytes) -> None:
    world.sign_in()
    given(world)
    form = {"csrf": world.csrf("/value"), "model": "elec"}
    answer = world.browser.post("/value/reports", data=form, files={"file": ("report.json", content)})
    assert (answer.status_code, "choose the report.json" in answer.text) == (422, True)
    assert not any(request.method == "POST" for request in world.answers.asked)


def test_a_report_that_the_evaluator_refuses_says_why(world: World) -> None:
    world.sign_in()
    given(world)
    problem = {"title": "Invalid", "detail": "report: rows is missing", "field": "report"}
    world.answers.add("/v1/loop-reports", httpx.Response(422, json=problem), "POST")
    form = {"csrf": world.csrf("/value"), "model": "elec"}
    answer = world.browser.post("/value/reports", data=form, files={"file": ("report.json", b"{}")})
    assert (answer.status_code, "Nothing was published: report: rows is missing" in answer.text) == (422, True)
    assert 'value="elec"' in answer.text
    assert 'type="file"' in answer.text


def test_viewers_cannot_publish(world: World) -> None:
    world.sign_in("viewer-key")
    given(world)
    assert "Publish a report" not in world.browser.get("/value").text
    form = {"csrf": world.csrf("/value"), "model": "elec"}
    assert world.browser.post("/value/reports", data=form, files={"file": ("r", b"{}")}).status_code == 403


def test_a_hostile_report_is_shown_as_text(world: World) -> None:
    world.sign_in()
    given(world)
    hostile = published(name=HOSTILE, note=HOSTILE, metric=HOSTILE, kind=HOSTILE, marks=[{"row": 1, "what": HOSTILE}])
    hostile["report"]["ways"][0]["title"] = HOSTILE
    world.answers.add(f"/v1/loop-reports/{REPORT}", hostile)
    assert HOSTILE not in world.browser.get(f"/value/reports/{REPORT}").text


# ---- a policy of a report for a model

SWITCH = f"/value/reports/{REPORT}/switch"
SIGNED = Signature(columns=(Column(name="a"),), output=Output(task=Task.BINARY, classes=("no", "yes")))
STATED = {
    "gate": GatePolicy().model_dump(mode="json"),
    "retrain": RetrainPolicy(cool_down_s=3_600).model_dump(mode="json"),
    "rollout": RolloutPolicy(strategy="adaptive").model_dump(mode="json"),
}


def stated(world: World, documents: Any = STATED, row_interval_s: float | None = 1_800.0, **fields: Any) -> None:
    """A report that states its policy, and a model `elec` with version 1 whose gate asks for a person."""
    found = published(row_interval_s=row_interval_s, **fields)
    found["report"]["ways"][0]["documents"] = documents
    world.answers.add(f"/v1/loop-reports/{REPORT}", found)
    gate = GatePolicy(approval="manual").model_dump(mode="json")
    in_force(world, "gate", 4, gate)
    in_force(world, "retrain", 0, RetrainPolicy().model_dump(mode="json"))
    in_force(world, "rollout", 2, RolloutPolicy(timeout_ms=90).model_dump(mode="json"))
    world.answers.add("/v1/models/elec/versions", {"items": [], "next_after": None})
    world.answers.add("/v1/models", {"items": []})
    world.answers.add("/v1/traffic", {"items": [traffic(labelled=0)]})


def in_force(world: World, kind: str, revision: int, document: dict[str, Any]) -> None:
    info = {"kind": kind, "revision": revision, "document": document}
    world.answers.add(f"/v1/models/elec/policies/{kind}", info)
    world.answers.add(f"/v1/models/elec/policies/{kind}", {**info, "revision": revision + 1}, "PUT")


def with_version(world: World, signature: Signature) -> None:
    """Give `elec` a version of a signature."""
    files = (FileEntry(path="m", digest=f"sha256:{'b' * 64}", size_bytes=1),)
    training = TrainingLineage(recipe="elsewhere")
    manifest = ModelManifest(model="elec", flavour="skops", files=files, **signed(signature), training=training)
    file = ManifestFile.write(manifest)
    version = {"model": "elec", "version": 1, "digest": file.digest, "stage": "live", "aliases": ["champion"]}
    version |= {"created_at": NOW, "created_by": "anna", "correlation_id": "c"}
    world.answers.add("/v1/models/elec/versions", {"items": [version], "next_after": None})
    answer = httpx.Response(200, content=file.data, headers={"x-modelyard-digest": file.digest})
    world.answers.add("/v1/models/elec/versions/1/manifest", answer)


def changes(world: World) -> list[tuple[str, dict[str, Any]]]:
    """Kind and body of each change that was sent."""
    sent = [request for request in world.answers.asked if request.method == "PUT"]
    return [(request.url.path.rpartition("/")[2], json.loads(request.content)) for request in sent]


def test_a_report_leads_those_who_may_set_policies_to_using_one(world: World) -> None:
    world.sign_in()
    stated(world)
    link = f'href="{SWITCH}?policy=policy+a"'
    assert world.browser.get(f"/value/reports/{REPORT}").text.count(link) == 1
    world.sign_in("viewer-key")
    assert "Use for a model" not in world.browser.get(f"/value/reports/{REPORT}").text
    assert world.browser.get(SWITCH).status_code == 403


def test_the_page_shows_what_would_change_and_what_stays(world: World) -> None:
    world.sign_in()
    stated(world)
    first = world.browser.get(f"{SWITCH}?policy=policy+a").text
    assert "Switch it on" not in first
    assert 'value="elec"' in first, "the model of the report is suggested"
    page = world.browser.get(f"{SWITCH}?policy=policy+a&model=elec").text
    for shown in ("cool down (seconds)", "<td>300</td><td>3600</td>", "<td>canary</td><td>adaptive</td>"):
        assert shown in page, shown
    assert "approval manual (not automatic), timeout (milliseconds) 90 (not 2,000)" in page
    assert "min rows" not in page
    assert "The model has no version yet" in page
    assert changes(world) == []


def test_a_policy_is_switched_on_over_the_revisions_that_were_seen(world: World) -> None:
    world.sign_in()
    stated(world)
    form = {"csrf": world.csrf(f"{SWITCH}?policy=policy+a&model=elec"), "policy": "policy a", "model": "elec"}
    seen = {"revision-retrain": "0", "revision-rollout": "2"}
    done = world.browser.post(SWITCH, data={**form, **seen}, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/models/elec/policies")
    (retrain, first), (rollout, second) = changes(world)
    assert (retrain, first["expected_revision"], first["document"]["cool_down_s"]) == ("retrain", 0, 3_600)
    assert (rollout, second["expected_revision"], second["document"]["timeout_ms"]) == ("rollout", 2, 90)
    assert first["reason"] == "policy a of the backtest of loans"


def test_a_policy_that_another_person_changed_is_shown_again(world: World) -> None:
    world.sign_in()
    stated(world)
    form = {"csrf": world.csrf(f"{SWITCH}?policy=policy+a&model=elec"), "policy": "policy a", "model": "elec"}
    seen = {"revision-retrain": "0", "revision-rollout": "1", "reason": "my <b>reason"}
    again = world.browser.post(SWITCH, data={**form, **seen})
    assert (again.status_code, changes(world)) == (409, [])
    assert "Another person changed the policy rollout meanwhile" in again.text
    assert "my &lt;b&gt;reason" in again.text


def test_a_refusal_between_two_policies_shows_what_is_left(world: World) -> None:
    world.sign_in()
    stated(world)
    problem = {"title": "Forbidden", "detail": "only a release manager", "code": "forbidden"}
    world.answers.add("/v1/models/elec/policies/rollout", httpx.Response(403, json=problem), "PUT")
    form = {"csrf": world.csrf(f"{SWITCH}?policy=policy+a&model=elec"), "policy": "policy a", "model": "elec"}
    seen = {"revision-retrain": "0", "revision-rollout": "2"}
    refused = world.browser.post(SWITCH, data={**form, **seen})
    assert (refused.status_code, "only a release manager" in refused.text) == (403, True)
    assert "What is listed below is not set" in refused.text


def test_nothing_is_sent_twice_where_nothing_differs(world: World) -> None:
    world.sign_in()
    stated(world)
    in_force(world, "retrain", 1, STATED["retrain"])
    in_force(world, "rollout", 3, {**STATED["rollout"], "timeout_ms": 90})
    page = world.browser.get(f"{SWITCH}?policy=policy+a&model=elec").text
    assert "Nothing to change" in page
    assert "Switch it on" not in page
    form = {"csrf": world.csrf(f"{SWITCH}?policy=policy+a&model=elec"), "policy": "policy a", "model": "elec"}
    assert world.browser.post(SWITCH, data=form, follow_redirects=False).status_code == 303
    assert changes(world) == []


def test_rows_without_times_ask_for_the_time_between_two_rows(world: World) -> None:
    world.sign_in()
    stated(world, row_interval_s=None)
    page = world.browser.get(f"{SWITCH}?policy=policy+a&model=elec").text
    assert "the rows of the report had no times" in page
    assert "Switch it on" not in page
    page = world.browser.get(f"{SWITCH}?policy=policy+a&model=elec&row_interval=2s").text
    assert "<td>300</td><td>7200</td>" in page


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("policy=policy+z&model=elec", "Policy: choose one of this report"),
        ("policy=frozen&model=elec", "Policy: choose one of this report"),
        ("policy=policy+a&model=elec&row_interval=soon", "is no duration"),
        ("policy=policy+a&model=elec&row_interval=0s", "must be longer than 0"),
        ("policy=policy+a&model=A/../b", "Model: "),
        ("policy=policy+a&model=nobody", "no answer for /v1/models/nobody/policies/gate"),
    ],
)
def test_a_field_that_is_wrong_says_so_and_offers_no_button(world: World, query: str, problem: str) -> None:
    world.sign_in()
    stated(world)
    page = world.browser.get(f"{SWITCH}?{query}")
    assert (page.status_code, problem in page.text, "Switch it on" in page.text) == (200, True, False)


def test_a_policy_that_cannot_fit_names_field_and_remedy(world: World) -> None:
    world.sign_in()
    stated(world)
    with_version(world, SIGNED)
    page = world.browser.get(f"{SWITCH}?policy=policy+a&model=elec").text
    assert "Switch it on" in page
    assert "No label of the last 30 days has come" in page
    with_version(world, Signature(columns=SIGNED.columns, output=Output(task=Task.TEXT)))
    page = world.browser.get(f"{SWITCH}?policy=policy+a&model=elec").text
    assert "elec cannot have this policy: retrain.enabled: " in page
    assert "Switch it on" not in page


@pytest.mark.parametrize("documents", [{**STATED, "gate": {"metric": HOSTILE}}, {**STATED, "gate": {HOSTILE: 1}}])
def test_hostile_policies_are_refused_and_shown_as_text(world: World, documents: Any) -> None:
    world.sign_in()
    stated(world, documents, name=HOSTILE)
    page = world.browser.get(f"{SWITCH}?policy=policy+a&model=elec")
    assert (page.status_code, HOSTILE in page.text, "Switch it on" in page.text) == (200, False, False)
    assert "cannot have this policy: gate" in page.text
    assert HOSTILE not in world.browser.get(SWITCH, params={"policy": HOSTILE, "model": HOSTILE}).text


def test_a_report_of_an_older_release_says_what_to_do(world: World) -> None:
    world.sign_in()
    stated(world, None)
    page = world.browser.get(f"/value/reports/{REPORT}").text
    assert "Use for a model" not in page
    assert "written by an older release" in page
    assert "modelyard backtest --model elec" in world.browser.get(SWITCH).text


def test_a_form_of_another_session_switches_nothing(world: World) -> None:
    world.sign_in()
    stated(world)
    form = {"csrf": "forged", "policy": "policy a", "model": "elec", "revision-retrain": "0", "revision-rollout": "2"}
    assert world.browser.post(SWITCH, data=form).status_code == 403
    world.sign_in("viewer-key")
    form["csrf"] = world.csrf("/value")
    assert world.browser.post(SWITCH, data=form).status_code == 403
    assert changes(world) == []
