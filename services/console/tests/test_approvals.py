"""The inbox of approvals: evidence beside the buttons, decisions, and two people at one moment."""

from typing import Any

import httpx
import pytest

from modelyard_console.pages.components import HOSTILE

from .conftest import World

AT = "2026-11-29T11:00:00Z"
LOOP = "765323f2-35eb-522b-9ab6-4d9ee71c4e7b"


def staged(version: int = 3, **changes: Any) -> dict[str, Any]:
    given = {"model": "elec", "version": version, "digest": "sha256:" + "a" * 64, "stage": "evaluated"}
    rest = {"stage_since": AT, "created_at": AT, "created_by": "trainer", "correlation_id": LOOP}
    return {**given, **rest, "metrics": {"accuracy": 0.81, "fit_s": 4.2}, "flavour": "sklearn", **changes}


def evaluation(version: int = 3, verdict: str = "deploy", champion: int | None = 2) -> dict[str, Any]:
    compared = {"metric": "accuracy", "rows": 900, "champion": 0.78, "challenger": 0.81, "difference": 0.03}
    interval = {"low": 0.011, "high": 0.049, "p_value": 0.002, "champion_name": "version 2"}
    report = {"verdict": verdict, "reasons": ["Better by 0.03."], "comparison": {**compared, **interval}}
    return {
        "evaluation_id": "e-1",
        "model": "elec",
        "challenger_version": version,
        "champion": {"version": champion, "digest": "sha256:" + "b" * 64} if champion else None,
        "verdict": verdict,
        "report": report,
        "created_at": AT,
    }


def moved(stage: str, previous: str, actor: str, version: int = 3, **changes: Any) -> dict[str, Any]:
    entry = {"position": 9, "change": "version_moved", "version": version, "stage": stage, "previous_stage": previous}
    origin = {"actor": actor, "reason": f"{actor} has a reason", "event_id": "x", "correlation_id": LOOP}
    place = {"kind": "model", "resource": "elec", "workspace": "default", "occurred_at": AT, "recorded_at": AT}
    return {**entry, **origin, **place, **changes}


@pytest.fixture
def inbox(world: World) -> World:
    """One version waits; version 2 serves."""
    model = {"name": "elec", "revision": 5, "latest_version": 3, "created_at": AT, "champion_version": 2}
    run = {"run_id": "r-1", "model": "elec", "state": "succeeded", "correlation_id": LOOP, "version": 3}
    world.answers.add("/v1/versions", {"items": [staged()]})
    world.answers.add("/v1/models", {"items": [model]})
    world.answers.add("/v1/audit", {"items": [moved("approved", "evaluated", "gate", version=2)]})
    world.answers.add("/v1/evaluations", {"items": [evaluation()]})
    world.answers.add("/v1/runs", {"items": [{**run, "why": "the error rate rose", "dataset_digest": "sha256:d1"}]})
    world.answers.add("/v1/rollouts", {"items": []})
    return world


def test_the_evidence_stands_beside_the_buttons(inbox: World) -> None:
    inbox.sign_in()
    page = inbox.browser.get("/approvals").text
    for shown in ("+0.030", "[+0.011, +0.049]", "Better by 0.03.", "the error rate rose", "trainer", "0.81"):
        assert shown in page, shown
    assert 'id="elec-3"' in page and "would replace" in page
    assert page.count('action="/approvals/elec/3/approve"') == 1
    assert page.count('action="/approvals/elec/3/reject"') == 1
    asked = [one.url.path for one in inbox.answers.asked if one.url.path != "/v1/changes"]
    assert len(asked) <= 10, "the number of calls must not grow with the number of versions"


def test_evidence_is_asked_for_the_versions_that_are_shown_alone(inbox: World) -> None:
    inbox.sign_in()
    inbox.browser.get("/approvals")
    asked = {one.url.path: one.url.params.get_list("version") for one in inbox.answers.asked}
    assert asked["/v1/evaluations"] == asked["/v1/runs"] == ["elec@3", "elec@3"]  # waits at both stages here
    assert asked["/v1/rollouts"] == ["elec@2"]


def test_without_a_version_or_a_decision_no_evidence_is_asked_for(inbox: World) -> None:
    inbox.answers.add("/v1/versions", {"items": []})
    inbox.answers.add("/v1/audit", {"items": []})
    inbox.sign_in()
    inbox.answers.asked.clear()
    inbox.browser.get("/approvals")
    assert not {"/v1/evaluations", "/v1/runs", "/v1/rollouts"} & {one.url.path for one in inbox.answers.asked}


def test_a_comparison_with_a_version_that_no_longer_serves_is_marked(inbox: World) -> None:
    inbox.answers.add("/v1/evaluations", {"items": [evaluation(champion=1)]})
    inbox.sign_in()
    assert "compared with v1, but v2 serves now" in inbox.browser.get("/approvals").text
    inbox.answers.add("/v1/evaluations", {"items": [evaluation(champion=2)]})
    assert "serves now;" not in inbox.browser.get("/approvals").text


def test_versions_without_a_verdict_wait_for_a_person_too(inbox: World) -> None:
    inbox.answers.add("/v1/evaluations", {"items": [evaluation(verdict="inconclusive")]})
    inbox.sign_in()
    assert "Without a verdict" in inbox.browser.get("/approvals").text
    inbox.answers.add("/v1/evaluations", {"items": [evaluation()]})
    assert "Without a verdict" not in inbox.browser.get("/approvals").text


@pytest.mark.parametrize(("decision", "past"), [("approve", "approved"), ("reject", "rejected")])
def test_a_decision_is_sent_with_its_reason_and_the_stage_that_was_seen(inbox: World, decision: str, past: str) -> None:
    inbox.answers.add(f"/v1/models/elec/versions/3/{decision}", staged(stage=past), "POST")
    inbox.sign_in("reviewer-key")
    form = {"csrf": inbox.csrf("/approvals"), "reason": "looked at it", "stage": "evaluated", "back": "/approvals"}
    answer = inbox.browser.post(f"/approvals/elec/3/{decision}", data=form)
    [sent] = [request for request in inbox.answers.asked if request.method == "POST"]
    assert b'"reason":"looked at it"' in sent.content.replace(b": ", b":")
    assert b'"expected_stage":"evaluated"' in sent.content.replace(b": ", b":")
    assert f"Version 3 of elec is {past}." in answer.text


def test_of_two_people_at_one_moment_the_second_learns_who_was_first(inbox: World) -> None:
    refused = {"title": "Conflict", "code": "stale_stage", "detail": "version 3 is rejected by now, not evaluated"}
    inbox.answers.add("/v1/models/elec/versions/3/approve", httpx.Response(409, json=refused), "POST")
    inbox.answers.add(
        "/v1/audit", {"items": [moved("rejected", "evaluated", "anna"), moved("evaluated", "registered", "x")]}
    )
    inbox.answers.add("/v1/models/elec/versions/3", staged(stage="rejected"))
    inbox.sign_in("reviewer-key")
    form = {"csrf": inbox.csrf(), "reason": "fine with me", "stage": "evaluated"}
    answer = inbox.browser.post("/approvals/elec/3/approve", data=form)
    assert answer.status_code == 409
    for shown in ("anna came first", "is rejected since", "anna has a reason", "fine with me", "was not recorded"):
        assert shown in answer.text, shown


def test_any_other_refusal_keeps_what_was_typed(inbox: World) -> None:
    refused = {"title": "Conflict", "code": "same_person", "detail": "rita registered version 3", "field": "actor"}
    inbox.answers.add("/v1/models/elec/versions/3/approve", httpx.Response(409, json=refused), "POST")
    inbox.sign_in("reviewer-key")
    form = {"csrf": inbox.csrf(), "reason": "a long thought", "stage": "evaluated"}
    answer = inbox.browser.post("/approvals/elec/3/approve", data=form)
    assert (answer.status_code, "rita registered version 3" in answer.text) == (409, True)
    assert "a long thought" in answer.text


def test_a_viewer_sees_the_evidence_and_no_buttons(inbox: World) -> None:
    inbox.sign_in("viewer-key")
    page = inbox.browser.get("/approvals").text
    assert "Better by 0.03." in page and "needs the role reviewer" in page
    assert "/approve" not in page and "/reject" not in page
    token = inbox.csrf("/approvals")
    assert inbox.browser.post("/approvals/elec/3/approve", data={"csrf": token, "reason": "x"}).status_code == 403


def test_what_was_decided_names_who_when_why_and_what_followed(inbox: World) -> None:
    rollout = {"rollout_id": "ro-1", "model": "elec", "action": "rollout", "state": "promoted", "to_version": 2}
    inbox.answers.add("/v1/rollouts", {"items": [{**rollout, "created_at": "2026-11-29T11:00:05Z"}]})
    replaced = moved("approved", "live", "deployer", version=1)
    dataset = moved("approved", "evaluated", "robot", kind="dataset", resource="rows")
    decided = moved("approved", "evaluated", "anna", version=2)
    inbox.answers.add("/v1/audit", {"items": [replaced, dataset, decided]})
    inbox.sign_in()
    page = inbox.browser.get("/approvals").text
    assert "anna has a reason" in page and "/rollouts/ro-1" in page
    assert "deployer has a reason" not in page, "a version that was replaced was not decided about"
    assert "robot has a reason" not in page


@pytest.mark.parametrize("service", ["registry", "trainer", "evaluator", "deployer"])
def test_the_inbox_works_while_a_service_is_away(inbox: World, service: str) -> None:
    inbox.sign_in()
    inbox.answers.away.add(service)
    answer = inbox.browser.get("/approvals")
    assert answer.status_code == 200
    assert f"The {service} is away" in answer.text


def test_hostile_text_is_shown_as_text(inbox: World) -> None:
    one = evaluation()
    one["report"]["reasons"] = [HOSTILE]
    one["report"]["comparison"]["champion_name"] = HOSTILE
    inbox.answers.add("/v1/evaluations", {"items": [one]})
    inbox.answers.add("/v1/versions", {"items": [staged(created_by=HOSTILE, flavour=HOSTILE)]})
    inbox.answers.add("/v1/audit", {"items": [moved("rejected", "evaluated", HOSTILE)]})
    inbox.sign_in()
    page = inbox.browser.get("/approvals").text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 5


def test_an_empty_inbox_says_how_versions_come_to_wait(inbox: World) -> None:
    for path in ("/v1/versions", "/v1/audit", "/v1/evaluations", "/v1/runs", "/v1/models"):
        inbox.answers.add(path, {"items": []})
    inbox.sign_in()
    page = inbox.browser.get("/approvals").text
    assert "Nothing waits for approval" in page and "approval=manual" in page and "No decisions yet" in page
