"""Pages of rollouts: open and ended ones, what happens next, guardrails, actions of people, starting one."""

import html
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from modelyard import RecordedEvent, RolloutRun
from modelyard_console.domain.rollouts import forecast, moments_of, step_rows, weight_chart
from modelyard_runtime.access import Principal

from .conftest import World

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOSTILE = '<script>alert("x")</script>'
ID, CORRELATION = str(UUID(int=1)), str(UUID(int=2))


def rollout(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "rollout_id": ID,
        "model": "churn",
        "route": "churn",
        "action": "start",
        "state": "shifting",
        "strategy": "canary",
        "from_version": 3,
        "to_version": 4,
        "step": 2,
        "steps_percent": [5, 20, 50, 100],
        "weight_percent": 20,
        "reason": "60 of 100 predictions at this step",
        "held_reason": "",
        "next": {
            "kind": "advance",
            "step": 2,
            "steps": 4,
            "from_percent": 20,
            "to_percent": 50,
            "predictions_needed": 100,
            "predictions_seen": 60,
            "predictions_left": 40,
            "seconds_left": 3.0,
            "hold_expires_in_s": 400,
            "on_hold_expired": "abort",
        },
        "guardrails": [
            {
                "name": "error_rate",
                "description": "error rate",
                "rows": 160,
                "new": 0.02,
                "old": 0.01,
                "difference": 0.01,
                "low": -0.02,
                "high": 0.04,
                "margin": 0.01,
                "verdict": "passed",
            },
            {"name": "wrong_rate", "rows": 3, "margin": 0.05, "verdict": "too_few_rows"},
        ],
        "abort_reason": None,
        "evidence": {"step_answers": 60.0, "step_age_s": 30.0},
        "revision": 3,
        "requested_by": "anna",
        "correlation_id": CORRELATION,
        "created_at": (NOW - timedelta(minutes=2)).isoformat(),
        "changed_at": (NOW - timedelta(seconds=30)).isoformat(),
    }
    return given | changes


def changed(
    revision: int, seconds_ago: float, state: str, step: int, weight: float, **evidence: float
) -> dict[str, Any]:
    return {
        "event_id": str(UUID(int=100 + revision)),
        "type": "deployment.rollout.changed.v1",
        "topic": "deployment.rollout.changed.v1",
        "occurred_at": (NOW - timedelta(seconds=seconds_ago)).isoformat(),
        "recorded_at": NOW.isoformat(),
        "correlation_id": CORRELATION,
        "cause_id": None,
        "model": "churn",
        "payload": {
            "rollout_id": ID,
            "revision": revision,
            "state": state,
            "step": step,
            "weight_percent": weight,
            "reason": f"reason {revision}",
            "evidence": evidence,
        },
    }


EVENTS = [
    changed(1, 120, "preparing", 0, 0),
    changed(2, 90, "shifting", 1, 5),
    changed(3, 30, "shifting", 2, 20, step_answers=110.0, step_age_s=58.0),
    {**changed(9, 10, "shifting", 1, 5), "payload": {"rollout_id": str(UUID(int=7)), "weight_percent": 5}},
]
NO_VOTE: dict[str, Any] = {"model": "churn", "strategy": "canary", "members": [], "labels": 0}
VOTE: dict[str, Any] = {
    "model": "churn",
    "strategy": "adaptive",
    "members": [
        {"version": 4, "lead": True, "weight": 0.7, "since": NOW.isoformat(), "labels": 900, "loss": 0.21, "harm": ""},
        {"version": 1, "weight": 0.3, "since": NOW.isoformat(), "labels": 900, "loss": 0.3, "harm": HOSTILE},
    ],
    "departed": [{"version": 2, "at": NOW.isoformat(), "reason": "least weight of 6 members"}],
    "labels": 900,
    "loss": 0.2,
    "against_best": {"version": 4, "labels": 900, "lost_rows": -4.2, "mean_lost_rows": 3.0, "bound_rows": 12.0},
    "updated_at": NOW.isoformat(),
}


@pytest.fixture
def rolling(world: World) -> World:
    world.answers.add("/v1/rollouts", {"items": [rollout()]})
    world.answers.add(f"/v1/rollouts/{ID}", rollout())
    world.answers.add(f"/v1/timelines/{CORRELATION}", {"correlation_id": CORRELATION, "events": EVENTS})
    world.answers.add("/v1/models/churn/votes", NO_VOTE)
    world.sign_in()
    return world


def text_of(response: Any) -> str:
    """What a reader sees: without tags, entities resolved."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", response.text)))


def sent(world: World, path: str) -> Any:
    [*_, last] = [one for one in world.answers.asked if (one.method, one.url.path) == ("POST", path)]
    return json.loads(last.content)


def run(**changes: Any) -> RolloutRun:
    return RolloutRun.model_validate(rollout(**changes))


def test_open_rollouts_come_first_with_what_happens_next(rolling: World) -> None:
    ended = rollout(rollout_id=str(UUID(int=5)), state="aborted", reason="the error rate is worse")
    rolling.answers.add("/v1/rollouts", {"items": [rollout(), ended]})
    text = text_of(rolling.browser.get("/rollouts"))
    assert "from 20 % to 50 % after 40 more predictions" in text
    assert text.index("Open") < text.index("the error rate is worse")


def test_the_list_can_be_narrowed_by_an_address(rolling: World) -> None:
    items = [
        rollout(rollout_id=str(UUID(int=n)), state=state, reason=f"reason of {state}")
        for n, state in ((5, "aborted"), (6, "promoted"))
    ]
    rolling.answers.add("/v1/rollouts", {"items": items})
    _, _, ended = text_of(rolling.browser.get("/rollouts?model=churn&state=promoted")).rpartition("Ended")
    assert "reason of promoted" in ended
    assert "reason of aborted" not in ended
    asked = [one.url.params for one in rolling.answers.asked if one.url.path == "/v1/rollouts"]
    assert [one["model"] for one in asked] == ["churn", "churn"]


def test_an_empty_filter_names_no_model_and_asks_for_no_role_in_the_default_workspace(rolling: World) -> None:
    rolling.sign_in("risk-key")
    assert rolling.browser.get("/rollouts?model=&state=").status_code == 200


def test_without_rollouts_the_page_shows_what_to_do_next(rolling: World) -> None:
    rolling.answers.add("/v1/rollouts", {"items": []})
    assert "modelyard deploy" in text_of(rolling.browser.get("/rollouts"))


def test_the_list_stays_usable_while_the_deployer_is_away(rolling: World) -> None:
    rolling.answers.away.add("deployer")
    page = rolling.browser.get("/rollouts")
    assert page.status_code == 200
    assert "The deployer is away" in page.text


def test_a_rollout_shows_forecast_guardrails_steps_and_changes(rolling: World) -> None:
    page = rolling.browser.get(f"/rollouts/{ID}")
    text = text_of(page)
    for expected in (
        "after 40 more predictions of the new version and 3.0 s",
        "in about 20 s",
        "it is aborted in 6 min 40 s",
        "60 of 100 needed",
        "error rate 2 % 1 % +1 %",
        "too few rows",
        "reason 3",
        "anna",
    ):
        assert expected in text, expected
    assert f'href="/timelines/{CORRELATION}"' in page.text
    assert "data-chart=" in page.text


def test_a_rollout_is_shown_without_its_history_while_the_monitor_is_away(rolling: World) -> None:
    rolling.answers.away.add("monitor")
    page = rolling.browser.get(f"/rollouts/{ID}")
    assert page.status_code == 200
    assert "The monitor is away" in page.text
    assert "60 of 100 needed" in text_of(page)


def test_hostile_texts_are_shown_as_text(rolling: World) -> None:
    hostile = rollout(reason=HOSTILE, abort_reason=HOSTILE, requested_by=HOSTILE, held_reason=HOSTILE, route=HOSTILE)
    rolling.answers.add(f"/v1/rollouts/{ID}", hostile)
    rolling.answers.add("/v1/rollouts", {"items": [hostile, {**hostile, "rollout_id": "x", "state": "aborted"}]})
    rolling.answers.add("/v1/models/churn/votes", VOTE)
    for path in (f"/rollouts/{ID}", "/rollouts"):
        page = rolling.browser.get(path)
        assert page.status_code == 200
        assert HOSTILE not in page.text
        assert html.escape(HOSTILE, quote=False).replace('"', "&#34;") in page.text


def test_a_rollout_that_does_not_exist_is_not_found(rolling: World) -> None:
    assert rolling.browser.get(f"/rollouts/{UUID(int=9)}").status_code == 404


def test_the_vote_shows_weights_losses_regret_and_who_left(rolling: World) -> None:
    rolling.answers.add("/v1/models/churn/votes", VOTE)
    text = text_of(rolling.browser.get(f"/rollouts/{ID}"))
    for expected in ("leads", "70 %", "must not answer", "−4.2 rows against v4", "least weight of 6 members"):
        assert expected in text, expected


def test_the_part_of_the_vote_empties_itself_when_the_model_is_no_longer_adaptive(rolling: World) -> None:
    rolling.answers.add("/v1/models/churn/votes", {**VOTE, "strategy": "canary"})
    page = rolling.browser.get(f"/rollouts/{ID}").text
    assert "no longer adaptive" in page and 'id="votes-table"' in page
    rolling.answers.add("/v1/models/churn/votes", NO_VOTE)
    page = rolling.browser.get(f"/rollouts/{ID}").text
    assert 'id="votes"' in page, "an open page replaces the part by this one"
    assert "Members of the vote" not in page


@pytest.mark.parametrize("act", ["advance", "hold", "resume"])
def test_a_step_is_changed_as_the_person_saw_it(rolling: World, act: str) -> None:
    rolling.answers.add(f"/v1/rollouts/{ID}/{act}", rollout(), "POST")
    form = {"csrf": rolling.csrf(), "act": act, "step": "2", "reason": "enough evidence"}
    answer = rolling.browser.post(f"/rollouts/{ID}/step", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/rollouts/{ID}")
    assert sent(rolling, f"/v1/rollouts/{ID}/{act}") == {"step": 2, "reason": "enough evidence"}


def test_a_step_that_has_passed_is_a_clear_conflict_and_keeps_the_reason(rolling: World) -> None:
    problem = {"title": "Conflict", "detail": "step: the rollout is at step 3, not 2; read it again", "status": 409}
    rolling.answers.add(f"/v1/rollouts/{ID}/advance", httpx.Response(409, json=problem), "POST")
    form = {"csrf": rolling.csrf(), "act": "advance", "step": "2", "reason": "my long reason"}
    page = rolling.browser.post(f"/rollouts/{ID}/step", data=form)
    assert page.status_code == 409
    assert "at step 3, not 2" in page.text
    assert "my long reason" in page.text


@pytest.mark.parametrize("fields", [{"act": "explode"}, {"step": "two"}, {"reason": " "}])
def test_a_broken_action_changes_nothing(rolling: World, fields: dict[str, str]) -> None:
    form = {"csrf": rolling.csrf(), "act": "advance", "step": "2", "reason": "why"} | fields
    assert rolling.browser.post(f"/rollouts/{ID}/step", data=form).status_code == 422
    assert not [one for one in rolling.answers.asked if one.method == "POST"]


def test_an_abort_names_the_version_that_the_person_saw(rolling: World) -> None:
    rolling.answers.add("/v1/rollouts", rollout(), "POST")
    rolling.browser.post(f"/rollouts/{ID}/abort", data={"csrf": rolling.csrf(), "reason": "wrong data"})
    expected = {"model": "churn", "version": 4, "action": "abort", "reason": "wrong data"}
    assert sent(rolling, "/v1/rollouts") == expected


def test_a_promoted_rollout_can_be_rolled_back_to_the_version_before(rolling: World) -> None:
    back = rollout(rollout_id=str(UUID(int=8)), action="roll_back", state="rolled_back")
    rolling.answers.add(f"/v1/rollouts/{ID}", rollout(state="promoted", next=None))
    rolling.answers.add("/v1/rollouts", back, "POST")
    assert "Put v3 back" in rolling.browser.get(f"/rollouts/{ID}").text
    form = {"csrf": rolling.csrf(), "reason": "customers complain"}
    answer = rolling.browser.post(f"/rollouts/{ID}/rollback", data=form, follow_redirects=False)
    assert answer.headers["location"] == f"/rollouts/{UUID(int=8)}"
    assert sent(rolling, "/v1/rollouts")["version"] == 3


def buttons(page: str) -> set[str]:
    return set(re.findall(r'<summary class="button[^>]*>([^<]+)</summary>', page))


def test_buttons_follow_the_state_and_the_role(rolling: World) -> None:
    def shown() -> set[str]:
        return buttons(rolling.browser.get(f"/rollouts/{ID}").text)

    assert shown() == {"Advance", "Hold", "Abort"}
    rolling.answers.add(f"/v1/rollouts/{ID}", rollout(held_reason="held by anna: lunch"))
    assert shown() == {"Advance", "Resume", "Abort"}
    rolling.answers.add(f"/v1/rollouts/{ID}", rollout(state="preparing", next={"kind": "replicas"}))
    assert shown() == {"Abort"}
    rolling.answers.add(f"/v1/rollouts/{ID}", rollout(state="aborted", next=None))
    assert shown() == set()
    rolling.answers.add(f"/v1/rollouts/{ID}", rollout())
    rolling.sign_in("viewer-key")
    assert shown() == set()
    refused = rolling.browser.post(f"/rollouts/{ID}/abort", data={"csrf": rolling.csrf(), "reason": "x"})
    assert refused.status_code == 403
    rolling.principals["manager-key"] = Principal("max", "user", {"default": frozenset({"release-manager"})})
    rolling.sign_in("manager-key")
    assert shown() == {"Advance", "Hold", "Abort"}


VERSIONS: dict[str, Any] = {
    "items": [
        {
            "model": "churn",
            "version": number,
            "digest": "sha256:" + "ab" * 32,
            "stage": stage,
            "created_at": NOW.isoformat(),
            "created_by": "anna",
            "correlation_id": CORRELATION,
        }
        for number, stage in ((1, "retired"), (2, "rejected"), (3, "live"), (4, "approved"))
    ],
    "next_after": None,
}


@pytest.fixture
def starting(rolling: World) -> World:
    rolling.answers.add("/v1/models/churn/versions", VERSIONS)
    rolling.answers.add("/v1/models/churn/policies/rollout", {"kind": "rollout", "revision": 0, "document": {}})
    rolling.answers.add("/v1/versions", {"items": VERSIONS["items"][-1:], "next_after": None})
    return rolling


def test_only_versions_that_may_serve_can_be_chosen(starting: World) -> None:
    page = starting.browser.get("/rollouts/new?model=churn").text
    assert re.findall(r'<option value="(\d)"', page) == ["4", "3"]
    assert "at least 100 predictions" in text_of(starting.browser.get("/rollouts/new?model=churn"))


def test_without_a_model_the_approved_versions_are_offered(starting: World) -> None:
    assert "/rollouts/new?model=churn&amp;version=4" in starting.browser.get("/rollouts/new").text


def test_a_rollout_is_started_with_its_reason(starting: World) -> None:
    starting.answers.add("/v1/rollouts", rollout(), "POST")
    form = {"csrf": starting.csrf(), "model": "churn", "version": "4", "strategy": "full", "reason": "urgent"}
    answer = starting.browser.post("/rollouts/new", data=form, follow_redirects=False)
    assert answer.headers["location"] == f"/rollouts/{ID}"
    body = sent(starting, "/v1/rollouts")
    assert (body["version"], body["strategy"], body["reason"]) == (4, "full", "urgent")


def test_a_refused_start_shows_the_error_at_its_field_and_keeps_what_was_typed(starting: World) -> None:
    problem = {"title": "x", "detail": "version 4 is not approved", "field": "version"}
    starting.answers.add("/v1/rollouts", httpx.Response(409, json=problem), "POST")
    form = {"csrf": starting.csrf(), "model": "churn", "version": "4", "strategy": "canary", "reason": "my reason"}
    page = starting.browser.post("/rollouts/new", data=form)
    assert page.status_code == 409
    assert 'id="e-version">version 4 is not approved' in page.text
    assert "my reason" in page.text
    assert re.search(r'<option value="canary" selected', page.text)


def test_a_start_without_a_reason_is_not_sent(starting: World) -> None:
    form = {"csrf": starting.csrf(), "model": "churn", "version": "4", "strategy": "", "reason": ""}
    assert starting.browser.post("/rollouts/new", data=form).status_code == 422
    assert not [one for one in starting.answers.asked if one.method == "POST"]


# ---- values


def test_the_forecast_takes_the_later_of_time_and_samples() -> None:
    found = forecast(run(), NOW)
    assert found
    assert found.in_s == pytest.approx(20.0)  # 40 predictions at 60 in 30 s
    assert found.at == NOW + timedelta(seconds=20)
    waits = forecast(run(next={**rollout()["next"], "seconds_left": 100.0}), NOW)
    assert waits
    assert waits.in_s == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"evidence": {"step_answers": 0.0, "step_age_s": 30.0}}, "No request reaches the new version"),
        ({"next": {**rollout()["next"], "blocked_by": ["wrong_rate"]}}, "possibly by chance: wrong rate"),
        ({"held_reason": "held by anna: lunch", "next": {**rollout()["next"], "held": True}}, "held by anna"),
    ],
)
def test_what_keeps_a_rollout_from_going_on_is_stated_instead_of_a_time(changes: dict[str, Any], problem: str) -> None:
    found = forecast(run(**changes), NOW)
    assert found
    assert problem in found.problem
    assert found.at is None


def test_a_rollout_that_has_ended_has_no_forecast() -> None:
    assert forecast(run(state="promoted"), NOW) is None


def test_the_weights_are_drawn_as_steps_of_this_rollout_only() -> None:
    moments = moments_of([_event(one) for one in EVENTS], ID)
    chart = weight_chart(run(), moments, NOW)
    assert [one.weight_percent for one in moments] == [0, 5, 20]
    assert list(chart.lines[0].values) == [0, 0, 5, 5, 20, 20]
    assert list(chart.lines[1].values) == [100, 100, 95, 95, 80, 80]
    places = chart.data()["x"]
    assert places == sorted(places)
    assert [mark.label for mark in chart.marks] == ["preparing", "step 1", "step 2"]


def test_steps_show_how_long_they_lasted_and_with_how_many_predictions() -> None:
    rows = step_rows(run(), moments_of([_event(one) for one in EVENTS], ID), NOW)
    assert [row.state for row in rows] == ["done", "now", "ahead", "ahead"]
    assert (rows[0].lasted_s, rows[0].predictions) == (60.0, 110)
    assert (rows[1].lasted_s, rows[1].predictions) == (30.0, 60)


def test_the_step_at_which_a_rollout_was_aborted_is_marked() -> None:
    events = [*EVENTS, changed(4, 5, "aborted", 2, 0, step_answers=70.0)]
    rows = step_rows(run(state="aborted"), moments_of([_event(one) for one in events], ID), NOW)
    assert [row.state for row in rows] == ["done", "aborted", "left out", "left out"]
    assert rows[1].reason == "reason 4"


def _event(body: dict[str, Any]) -> RecordedEvent:
    return RecordedEvent.model_validate(body)
