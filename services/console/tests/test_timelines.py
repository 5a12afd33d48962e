"""Timelines: the list, one step by step, the phases, and what stands out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelyard import RecordedEvent
from modelyard_console.domain.timelines import phases_of, timeline_of

from .conftest import World

BEGAN = datetime(2026, 11, 29, 11, tzinfo=UTC)
LOOP = "11111111-1111-4111-8111-111111111111"
HOSTILE = '<script>alert("x")</script>'


def event(topic: str, after_s: float = 0.0, **body: Any) -> dict[str, Any]:
    return {
        "event_id": f"22222222-2222-4222-8222-{int(after_s * 10):012d}",
        "topic": topic,
        "type": "Type",
        "occurred_at": (BEGAN + timedelta(seconds=after_s)).isoformat(),
        "recorded_at": BEGAN.isoformat(),
        "correlation_id": LOOP,
        "cause_id": None,
        "model": "elec",
        "payload": {"reason": f"because {after_s:g}", **body},
    }


def loop() -> list[dict[str, Any]]:
    run, rollout = {"run_id": "run-1"}, {"rollout_id": "rollout-1", "to_version": 2}
    return [
        event("monitoring.drift.detected.v1", 0, subject="price", kind="feature"),
        event("training.run.changed.v1", 1, state="requested", **run),
        event("training.run.changed.v1", 2, state="training", **run),
        event("training.run.changed.v1", 3, state="training", progress=0.5, **run),
        event("training.run.changed.v1", 4, state="registering", **run),
        event("registry.resource.changed.v1", 5, change="version_registered", version=2),
        event("training.run.changed.v1", 6, state="succeeded", version=2, **run),
        event(
            "evaluation.run.finished.v1",
            8,
            evaluation_id="e-1",
            challenger_version=2,
            verdict="deploy",
            reasons=["It is better."],
        ),
        event("registry.resource.changed.v1", 48, change="version_moved", version=2, stage="approved", actor="anna"),
        event("deployment.rollout.changed.v1", 50, state="shifting", weight_percent=25.0, **rollout),
        event("deployment.route.applied.v1", 51, route="elec", router_id="r", sequence=2, accepted=True),
        event("deployment.rollout.changed.v1", 60, state="promoted", **rollout),
    ]


def events() -> list[RecordedEvent]:
    return [RecordedEvent.model_validate(one) for one in loop()]


def summary(**fields: Any) -> dict[str, Any]:
    return {
        "correlation_id": LOOP,
        "model": "elec",
        "started_at": BEGAN,
        "last_at": BEGAN + timedelta(seconds=60),
        "events": 12,
        "first_event_id": "e",
        "first_topic": "monitoring.drift.detected.v1",
        "first_summary": "price moved",
        "run_id": "run-1",
        "run_state": "succeeded",
        "version": 2,
        "evaluation_id": "e-1",
        "verdict": "deploy",
        "rollout_id": "rollout-1",
        "rollout_state": "promoted",
        "outcome": "promoted",
        **fields,
    }


def test_the_steps_leave_out_progress_and_acknowledgements_unless_everything_is_asked_for() -> None:
    found = timeline_of(events())
    assert (len(found.steps), found.hidden) == (10, 2)
    assert [step.hidden for step in found.steps if step.hidden] == [1, 1]
    assert len(timeline_of(events(), everything=True).steps) == 12


def test_a_router_that_refused_a_route_is_always_shown() -> None:
    refused = RecordedEvent.model_validate(event("deployment.route.applied.v1", accepted=False, router_id="r"))
    assert "refused" in timeline_of([refused]).steps[0].title


def test_a_long_wait_stands_out_and_a_short_timeline_has_none() -> None:
    assert [step.title for step in timeline_of(events()).steps if step.long] == ["Version 2 is approved, by anna"]
    quick = [RecordedEvent.model_validate(event("monitoring.drift.detected.v1", second / 10)) for second in range(3)]
    assert not any(step.long for step in timeline_of(quick).steps)


def test_phases_are_the_times_between_decisions() -> None:
    phases = {phase.name: phase.seconds for phase in phases_of(events())}
    assert phases == {
        "decision to train": 1,
        "snapshot of the data": 1,
        "training": 2,
        "registration": 2,
        "evaluation": 2,
        "approval": 40,
        "start of the replicas": 2,
        "canary": 10,
    }
    assert sum(phase.share for phase in phases_of(events())) == pytest.approx(1.0)
    assert phases_of([]) == []


def test_an_event_of_a_newer_release_is_shown_by_its_type() -> None:
    newer = RecordedEvent.model_validate({**event("training.plan.made.v2"), "type": "PlanMade"})
    [step] = timeline_of([newer]).steps
    assert (step.title, step.link) == ("PlanMade", "")


def test_a_timeline_shows_each_step_with_its_reason_its_wait_and_a_link_to_its_object(world: World) -> None:
    world.sign_in()
    world.answers.add(f"/v1/timelines/{LOOP}", {"correlation_id": LOOP, "events": loop()})
    page = world.browser.get(f"/timelines/{LOOP}").text
    for shown in ("Drift: price (feature)", "It is better.", "because 48", "+40 s waited", "1 min"):
        assert shown in page, shown
    for link in ("/training/run-1", "/evaluations/e-1", "/models/elec/versions/2", "/rollouts/rollout-1"):
        assert f'href="{link}"' in page, link
    assert "Show all 12 events" in page
    assert "Router r applied" in world.browser.get(f"/timelines/{LOOP}?events=all").text


def test_an_unknown_correlation_id_is_named(world: World) -> None:
    world.sign_in()
    world.answers.add(f"/v1/timelines/{LOOP}", {"correlation_id": LOOP, "events": []})
    answer = world.browser.get(f"/timelines/{LOOP}")
    assert (answer.status_code, LOOP in answer.text) == (404, True)


def test_the_list_shows_how_far_each_timeline_has_come(world: World) -> None:
    world.sign_in()
    items = [summary(), summary(outcome="recorded", run_id=None, rollout_id=None, evaluation_id=None, events=1)]
    world.answers.add("/v1/timelines", {"items": items, "next_after": "cursor"})
    page = world.browser.get("/timelines?model=elec&window=24h").text
    assert "price moved" in page
    assert "state-promoted" in page
    assert "after=cursor" in page
    asked = world.answers.asked[-1].url.params
    assert (asked["model"], asked["since"]) == ("elec", "2026-11-28T12:00:00+00:00")


def test_an_empty_list_says_how_to_begin(world: World) -> None:
    world.sign_in()
    world.answers.add("/v1/timelines", {"items": [], "next_after": None})
    assert "modelyard train" in world.browser.get("/timelines").text


def test_an_unknown_window_is_refused_with_the_choices(world: World) -> None:
    world.sign_in()
    answer = world.browser.get("/timelines?window=2y")
    assert answer.status_code == 422
    assert "24h" in answer.text


def test_while_the_monitor_is_away_the_list_says_so(world: World) -> None:
    world.sign_in()
    world.answers.away.add("monitor")
    answer = world.browser.get("/timelines")
    assert (answer.status_code, "The monitor is away" in answer.text) == (200, True)


def test_hostile_texts_are_shown_as_text(world: World) -> None:
    world.sign_in()
    hostile = event("monitoring.drift.detected.v1", subject=HOSTILE, kind="feature", reason=HOSTILE)
    world.answers.add(f"/v1/timelines/{LOOP}", {"correlation_id": LOOP, "events": [hostile]})
    world.answers.add("/v1/timelines", {"items": [summary(first_summary=HOSTILE, model=HOSTILE)], "next_after": None})
    for path in ("/timelines", f"/timelines/{LOOP}"):
        page = world.browser.get(path).text
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page
