"""One prediction: the answer, its labels, and how its version came to traffic."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from modelyard import AuditEntry
from modelyard_console.domain import links
from modelyard_console.domain.labels import Labelling, labelling
from modelyard_console.domain.origin import origin_of

from .conftest import World

NOW = "2026-11-29T11:00:00Z"
AT = datetime(2026, 11, 29, 11, tzinfo=UTC)
LOOP = "11111111-1111-4111-8111-111111111111"
HOSTILE = "<script>alert(1)</script>"


def prediction(**fields: Any) -> dict[str, Any]:
    return {
        "prediction_id": "p1",
        "occurred_at": NOW,
        "model": "elec",
        "version": 2,
        "digest": "sha256:" + "ab" * 32,
        "route": "elec",
        "route_sequence": 7,
        "variant": "canary",
        "rule": None,
        "features": {"price": 0.25, "day": None},
        "class": "up",
        "score": 0.8,
        "scores": {"up": 0.8, "down": 0.2},
        "latency_ms": 3.2,
        "cost_usd": 0.0001,
        "status": "ok",
        "attempts": [{"path": "", "model": "elec", "version": 2, "status": "ok", "latency_ms": 3.0, "cost_usd": 0.0}],
        "votes": [{"path": "", "model": "elec", "version": 1, "weight": 0.4, "class": "down", "score": 0.4}],
        "labels": [],
        "is_wrong": None,
        **fields,
    }


def label(**fields: Any) -> dict[str, Any]:
    return {"label": "down", "source": "market", "occurred_at": NOW, "received_at": NOW, "wrong": True, **fields}


def change(stage: str, at: str, version: int = 2, **fields: Any) -> dict[str, Any]:
    known = {"position": 1, "change": "version_moved", "version": version, "stage": stage, "actor": "anna"}
    ids = {"event_id": "e", "correlation_id": LOOP, "kind": "model", "resource": "elec", "workspace": "default"}
    return {**known, **ids, "reason": f"{stage} it", "occurred_at": at, "recorded_at": at, **fields}


def given(world: World, **fields: Any) -> None:
    world.answers.add("/v1/predictions/p1", {"items": [prediction(**fields)]})
    version = {
        "model": "elec",
        "version": 2,
        "digest": "d",
        "stage": "live",
        "created_at": NOW,
        "created_by": "trainer",
    }
    world.answers.add("/v1/models/elec/versions/2", {**version, "run_id": "run-1", "correlation_id": LOOP})
    changes = [change("live", "2026-11-29T10:59:00Z"), change("approved", "2026-11-29T10:58:00Z")]
    world.answers.add("/v1/audit", {"items": changes, "next_after": None})
    evaluation = {"evaluation_id": "e-1", "model": "elec", "challenger_version": 2, "verdict": "deploy"}
    world.answers.add("/v1/evaluations", {"items": [evaluation]})
    rollout = {"rollout_id": "r-1", "model": "elec", "action": "start", "state": "promoted", "to_version": 2}
    world.answers.add("/v1/rollouts", {"items": [{**rollout, "created_at": "2026-11-29T10:58:30Z"}]})
    run = {"run_id": "run-1", "model": "elec", "state": "succeeded", "correlation_id": LOOP, "why": "price moved"}
    world.answers.add("/v1/runs/run-1", run)


def test_a_prediction_shows_its_answer_and_where_its_version_comes_from(world: World) -> None:
    world.sign_in()
    given(world)
    page = world.browser.get("/predictions/p1").text
    for shown in (
        "score 0.8",
        "canary",
        "sequence 7",
        "missing",
        "not known yet",
        "price moved",
        "approved it",
        "anna",
    ):
        assert shown in page, shown
    for link in (f"/timelines/{LOOP}", "/training/run-1", "/evaluations/e-1", "/rollouts/r-1", "/routes/elec"):
        assert f'href="{link}"' in page, link
    assert "modelyard feedback p1" in page, "how to send the label"


def test_the_latest_label_that_matches_counts(world: World) -> None:
    world.sign_in()
    labels = [label(label="up", wrong=False), label(), label(label="nonsense", rejected="unknown_class", wrong=None)]
    given(world, labels=labels, is_wrong=True)
    page = world.browser.get("/predictions/p1").text
    assert "<dd>down<small>wrong</small>" in page
    assert "unknown class" in page


def test_a_number_is_shown_with_its_error(world: World) -> None:
    world.sign_in()
    numbers: dict[str, Any] = {"class": None, "score": 12.5, "scores": [], "absolute_error": 2.5}
    given(world, **numbers, labels=[label(label=None, value=10.0, wrong=None, absolute_error=2.5)])
    page = world.browser.get("/predictions/p1").text
    assert "off by 2.500" in page or "off by 2.5" in page


def test_several_models_may_have_answered_under_one_id(world: World) -> None:
    world.sign_in()
    given(world)
    world.answers.add("/v1/predictions/p1", {"items": [prediction(), prediction(model="other")]})
    assert "/predictions/p1?model=other" in world.browser.get("/predictions/p1").text


def test_an_id_may_hold_slashes_and_signs_that_mean_something_in_an_address(world: World) -> None:
    world.sign_in()
    given(world)
    odd = "2026/11/29?row=1#a b"
    items = [prediction(prediction_id=odd), prediction(prediction_id=odd, model="other")]
    world.answers.add(f"/v1/predictions/{odd}", {"items": items})
    page = world.browser.get(links.prediction(odd))
    assert page.status_code == 200
    assert f"{links.prediction(odd)}?model=other" in page.text


def test_the_answer_is_shown_while_all_other_services_are_away(world: World) -> None:
    world.sign_in()
    given(world)
    world.answers.away |= {"registry", "evaluator", "deployer", "trainer"}
    answer = world.browser.get("/predictions/p1")
    assert answer.status_code == 200
    assert "The registry is away" in answer.text
    assert "score 0.8" in answer.text


def send_label(world: World, **form: str) -> Any:
    known = {"csrf": world.csrf(), "prediction_id": "p1", "model": "elec", "back": "/predictions/p1"}
    return world.browser.post("/labels", data={**known, **form}, follow_redirects=False)


def sent_labels(world: World) -> list[dict[str, Any]]:
    return [json.loads(one.content) for one in world.answers.asked if one.url.path == "/v1/feedback"]


def test_a_label_is_sent_with_the_key_of_the_person_and_reported(world: World) -> None:
    world.sign_in()
    given(world)
    world.answers.add("/v1/feedback", {"accepted": 1}, "POST")
    assert '<button name="label" value="down">down</button>' in world.browser.get("/predictions/p1").text
    found = send_label(world, label="down")
    assert (found.status_code, found.headers["location"]) == (303, "/predictions/p1")
    assert sent_labels(world) == [
        {"prediction_id": "p1", "label": "down", "source": "console", "model": "elec"},
    ]
    [call] = [one for one in world.answers.asked if one.url.path == "/v1/feedback"]
    assert call.headers["authorization"] == "Bearer admin-key"
    assert "The label of prediction p1 was sent." in world.browser.get("/predictions/p1").text


def test_the_label_of_a_number_is_a_number(world: World) -> None:
    world.sign_in()
    given(world, **{"class": None, "score": 12.5, "scores": []})
    world.answers.add("/v1/feedback", {"accepted": 1}, "POST")
    assert 'name="value" required' in world.browser.get("/predictions/p1").text
    for wrong in ("", "many", "nan", "1e999"):
        refused = send_label(world, value=wrong)
        assert refused.status_code == 422 and "True value: " in refused.text, wrong
    assert not sent_labels(world)
    assert send_label(world, value="-3.5").status_code == 303
    assert sent_labels(world)[0]["value"] == -3.5


def test_a_refused_label_says_why_and_keeps_what_was_sent(world: World) -> None:
    world.sign_in()
    problem = {"title": "Unprocessable", "code": "invalid", "detail": f"label: {HOSTILE}", "field": "label"}
    world.answers.add("/v1/feedback", httpx.Response(422, json=problem), "POST")
    refused = send_label(world, label="down", prediction_id=HOSTILE, back="https://elsewhere.example/")
    assert refused.status_code == 422
    assert HOSTILE not in refused.text and 'value="down"' in refused.text
    world.answers.add("/v1/feedback", {"accepted": 1}, "POST")
    assert send_label(world, label="down", back="https://elsewhere.example/").headers["location"] == "/"


def test_only_a_role_that_may_send_labels_has_the_form(world: World) -> None:
    world.sign_in("viewer-key")
    given(world)
    page = world.browser.get("/predictions/p1").text
    assert 'action="/labels"' not in page and "modelyard feedback p1" in page
    assert send_label(world, label="down").status_code == 403
    world.sign_in()
    assert send_label(world, csrf="of-another-session", label="down").status_code == 403
    assert not sent_labels(world)


@pytest.mark.parametrize(
    ("count", "shown"),
    [(5, '<button name="label"'), (6, '<select id="f-label"'), (201, '<input type="text" id="f-label"')],
)
def test_many_classes_are_chosen_from_a_list(world: World, count: int, shown: str) -> None:
    world.sign_in()
    given(world, scores={f"class {n}": 0.0 for n in range(count)})
    assert shown in world.browser.get("/predictions/p1").text


def test_an_answer_in_words_has_no_label() -> None:
    assert labelling("p1", "chat", None) is None
    assert labelling("p1", "price", None, value=1.0) == Labelling("p1", "price")


def test_an_unknown_prediction_is_not_found(world: World) -> None:
    world.sign_in()
    assert world.browser.get("/predictions/p9").status_code == 404


def test_hostile_texts_are_shown_as_text(world: World) -> None:
    world.sign_in()
    given(
        world, features={HOSTILE: HOSTILE}, rule=HOSTILE, labels=[label(label=HOSTILE, source=HOSTILE)], variant=HOSTILE
    )
    assert HOSTILE not in world.browser.get("/predictions/p1").text


def test_only_an_approval_before_the_answer_counts() -> None:
    changes = [
        AuditEntry.model_validate(change("approved", "2026-11-29T12:00:00Z", reason="again")),
        AuditEntry.model_validate(change("approved", "2026-11-29T10:00:00Z", reason="first")),
        AuditEntry.model_validate(change("approved", "2026-11-29T10:30:00Z", version=3)),
    ]
    found = origin_of(2, AT, changes, (), ())
    assert found.approval
    assert (found.approval.reason, [one.reason for one in found.changes]) == ("first", ["first", "again"])
