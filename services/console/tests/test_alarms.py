"""Pages of alarms and of drift: evidence, SQL, what was done, rankings, charts and histograms."""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from modelyard import Alert, RolloutRun, StabilityOverTime
from modelyard_console.domain.alarms import bin_labels, compared, measured, recommended
from modelyard_console.domain.drift import Subject, marks_of, psi_chart, ranked, watched
from modelyard_runtime.access import Principal

from .conftest import World

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOSTILE = '<script>alert("x")</script>'
ID, CORRELATION = str(UUID(int=1)), str(UUID(int=2))
SQL = "SELECT count() FROM predictions WHERE model = 'churn' AND score < 0.5"


def alert(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "event_id": ID,
        "type": "drift",
        "model": "churn",
        "version": 3,
        "variant": "stable",
        "occurred_at": NOW.isoformat(),
        "correlation_id": CORRELATION,
        "kind": "feature",
        "subject": "amount",
        "detector": "psi",
        "severity": "warning",
        "observed": 0.31,
        "threshold": 0.12,
        "rows": 500,
        "window_start": (NOW - timedelta(minutes=5)).isoformat(),
        "window_end": NOW.isoformat(),
        "recommendation": "retrain",
        "recommendation_reason": "500 labelled rows came after the change",
        "summary": "the distribution of amount differs from training",
        "evidence_sql": SQL,
    }
    return given | changes


def event(number: int, topic: str, seconds: float, **payload: Any) -> dict[str, Any]:
    return {
        "event_id": str(UUID(int=number)),
        "topic": topic,
        "type": topic,
        "occurred_at": (NOW + timedelta(seconds=seconds)).isoformat(),
        "recorded_at": NOW.isoformat(),
        "correlation_id": CORRELATION,
        "cause_id": None,
        "model": "churn",
        "payload": payload,
    }


EVIDENCE = {
    "kind": "feature",
    "subject": "amount",
    "reference_rows": 3500,
    "current_rows": 500,
    "p_value": 0.001,
    "q_value": 0.004,
    "bin_edges": [20.0, 30.0],
    "reference_counts": [0, 0, 0, 1000, 1500, 1000],
    "current_counts": [5, 0, 0, 45, 150, 300],
}


def record(payload: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    body = EVIDENCE if payload is None else payload
    return {**event(1, "monitoring.drift.detected.v1", 0, **body), "alert": alert(**changes)}


@pytest.fixture
def alarmed(world: World) -> World:
    run = event(5, "training.run.changed.v1", 4, run_id=str(UUID(int=9)), state="succeeded", version=4, reason="done")
    events = [event(1, "monitoring.drift.detected.v1", 0, **EVIDENCE), run]
    world.answers.add("/v1/alerts", {"items": [alert()], "next_after": None})
    world.answers.add(f"/v1/events/{ID}", record())
    world.answers.add(f"/v1/timelines/{CORRELATION}", {"correlation_id": CORRELATION, "events": events})
    world.sign_in()
    return world


def text_of(response: Any) -> str:
    """What a reader sees: without tags, entities resolved."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", response.text)))


# ---- alarms


def test_an_event_that_is_no_alarm_leads_to_its_timeline(alarmed: World) -> None:
    alarmed.answers.add(f"/v1/events/{ID}", event(1, "training.run.changed.v1", 0))
    answer = alarmed.browser.get(f"/alarms/{ID}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/timelines/{CORRELATION}")


def test_alarms_show_what_was_observed_against_which_limit(alarmed: World) -> None:
    text = text_of(alarmed.browser.get("/alarms"))
    assert "the distribution of amount differs from training PSI 0.310 PSI 0.120 retrain" in text


def test_filters_are_in_the_address_and_sent_to_the_monitor(alarmed: World) -> None:
    alarmed.answers.add("/v1/alerts", {"items": [alert()], "next_after": "cursor~1"})
    page = alarmed.browser.get("/alarms?model=churn&kind=feature&severity=warning&after=x")
    [asked] = [one.url.params for one in alarmed.answers.asked if one.url.path == "/v1/alerts"]
    assert (asked["model"], asked["kind"], asked["severity"], asked["after"]) == ("churn", "feature", "warning", "x")
    assert "model=churn&amp;kind=feature&amp;severity=warning&amp;after=cursor~1" in page.text
    assert alarmed.browser.get("/alarms?severity=loud").status_code == 422


def test_without_alarms_the_page_explains_itself(alarmed: World) -> None:
    alarmed.answers.add("/v1/alerts", {"items": [], "next_after": None})
    assert "modelyard demo" in text_of(alarmed.browser.get("/alarms"))
    assert "No alarm fits" in text_of(alarmed.browser.get("/alarms?severity=critical"))


def test_the_list_stays_usable_while_the_monitor_is_away(alarmed: World) -> None:
    alarmed.answers.away.add("monitor")
    page = alarmed.browser.get("/alarms")
    assert page.status_code == 200
    assert "The monitor is away" in page.text


def test_an_alarm_shows_evidence_sql_and_what_was_done(alarmed: World) -> None:
    page = alarmed.browser.get(f"/alarms/{ID}")
    text = text_of(page)
    for expected in (
        "PSI 0.310",
        "PSI 0.120",
        "500 labelled rows came after the change",
        "p-value over all features 0.004",
        "below 20",
        "30 or more",
        "succeeded",
    ):
        assert expected in text, expected
    assert f'data-copy="{html.escape(SQL, quote=False).replace(chr(39), "&#39;")}"' in page.text
    assert f'href="/training/{UUID(int=9)}"' in page.text


def test_an_alarm_shows_the_values_that_the_training_data_did_not_have(alarmed: World) -> None:
    title = "Values that the training data did not have"
    assert title not in alarmed.browser.get(f"/alarms/{ID}").text
    unseen = [{"value": "gold", "rows": 1200}, {"value": HOSTILE, "rows": 3}, {"value": "", "rows": 2}]
    alarmed.answers.add(f"/v1/events/{ID}", {**record(kind="unseen_values_high"), "unseen": unseen})
    page = alarmed.browser.get(f"/alarms/{ID}")
    text = text_of(page)
    assert title in text
    assert "gold 1,200" in text and f"{HOSTILE} 3" in text and "(empty) 2" in text
    assert HOSTILE not in page.text


def test_an_alarm_without_consequence_leads_to_the_policy(alarmed: World) -> None:
    alarmed.answers.add(f"/v1/timelines/{CORRELATION}", {"correlation_id": CORRELATION, "events": []})
    text = text_of(alarmed.browser.get(f"/alarms/{ID}"))
    assert "Nothing followed" in text
    assert "Policies of churn" in text


def test_an_alarm_is_shown_without_consequences_while_the_timeline_is_missing(alarmed: World) -> None:
    alarmed.answers.add(f"/v1/timelines/{CORRELATION}", httpx.Response(503, json={"detail": "ClickHouse is away"}))
    page = alarmed.browser.get(f"/alarms/{ID}")
    assert page.status_code == 200
    assert "ClickHouse is away" in page.text


def test_an_unknown_alarm_is_not_found(alarmed: World) -> None:
    assert alarmed.browser.get(f"/alarms/{UUID(int=77)}").status_code == 404


def test_hostile_texts_are_shown_as_text(alarmed: World) -> None:
    fields: dict[str, Any] = dict.fromkeys(
        ("subject", "summary", "recommendation", "recommendation_reason", "evidence_sql"), HOSTILE
    )
    alarmed.answers.add("/v1/alerts", {"items": [alert(**fields)], "next_after": None})
    alarmed.answers.add(f"/v1/events/{ID}", record(**fields))
    for path in ("/alarms", f"/alarms/{ID}"):
        page = alarmed.browser.get(path)
        assert page.status_code == 200
        assert HOSTILE not in page.text
        assert html.escape(HOSTILE, quote=False).replace('"', "&#34;") in page.text


def test_the_recommended_action_is_offered_to_who_may_do_it(alarmed: World) -> None:
    def offered() -> set[str]:
        page = alarmed.browser.get(f"/alarms/{ID}").text
        return set(re.findall(r'<summary class="button[^>]*>([^<]+)</summary>', page))

    assert offered() == {"Retrain"}
    alarmed.answers.add(f"/v1/events/{ID}", record(recommendation="roll_back"))
    assert offered() == {"Roll back"}
    alarmed.sign_in("viewer-key")
    assert offered() == set()
    alarmed.principals["manager-key"] = Principal("max", "user", {"default": frozenset({"release-manager"})})
    alarmed.sign_in("manager-key")
    assert offered() == {"Roll back"}


@pytest.mark.parametrize(
    ("kind", "subject", "detector", "value", "text"),
    [
        ("feature", "amount", "psi", 0.31, "PSI 0.310"),
        ("feature", "amount", "adwin", 0.42, "0.42 SD"),
        ("performance", "error_rate", "window", 0.104, "+10.4 points"),
        ("error_rate_high", "requests", "", 0.9, "90 %"),
        ("labels_missing", "labels", "", 5000.0, "5,000 predictions"),
        ("performance", "mean_absolute_error", "window", 1.5, "1.500"),
    ],
)
def test_measures_have_their_unit(kind: str, subject: str, detector: str, value: float, text: str) -> None:
    assert measured(kind, subject, detector, value) == text


def test_bins_are_named_by_their_edges_and_empty_reserved_bins_left_out() -> None:
    bars = compared(EVIDENCE, None)
    assert [bar.label for bar in bars] == ["below 20", "20 to 30", "30 or more", "missing"]
    assert bars[2].current == pytest.approx(0.6)  # 300 of 500
    assert bin_labels((), ("red", "blue"), 5)[3:] == ["red", "blue"]
    assert bin_labels((), (), 5)[3:] == ["bin 1", "bin 2"]
    assert compared({"reference_counts": [1], "current_counts": [1, 2]}, None) == []


# ---- drift


def psi(feature: str, value: float, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "version": 3,
        "variant": "stable",
        "kind": "feature" if feature else "score",
        "feature": feature,
        "psi": value,
        "expected_without_drift": 0.01,
        "p_value": 0.2,
        "reference_rows": 3500,
        "current_rows": 400,
        "bins": [],
        "definition": "",
    }
    return given | changes


def bucket(feature: str, minute: int, value: float, version: int = 3) -> dict[str, Any]:
    return {
        "at": (NOW - timedelta(minutes=minute)).isoformat(),
        "version": version,
        "variant": "stable",
        "kind": "feature",
        "feature": feature,
        "psi": value,
        "expected_without_drift": 0.01,
        "p_value": 0.5,
        "rows": 90,
        "reference_rows": 3500,
    }


def bins(feature: str) -> dict[str, Any]:
    rows = [(-1, "missing", 0, 0), (0, "below 20", 10, 4), (1, "20 or more", 30, 36)]
    return {
        "version": 3,
        "variant": "stable",
        "kind": "feature",
        "feature": feature,
        "reference_rows": 40,
        "current_rows": 40,
        "bins": [
            {"bin": number, "label": label, "reference": reference, "current": current}
            for number, label, reference, current in rows
        ],
    }


MODEL = {
    "name": "churn",
    "revision": 3,
    "latest_version": 3,
    "aliases": {"champion": 3},
    "created_at": NOW.isoformat(),
}
ERRORS = {
    "version": 3,
    "subject": "error_rate",
    "state": "open",
    "since": NOW.isoformat(),
    "last_event_at": NOW.isoformat(),
    "reason": "the error rate rose",
    "error_before": 0.2,
    "error_after": 0.3,
}


@pytest.fixture
def drifting(world: World) -> World:
    answers = world.answers
    answers.add("/v1/models/churn", MODEL)
    answers.add("/v1/models/churn/psi", {"items": [psi("age", 0.02), psi("amount", 0.5), psi("", 0.1)]})
    over_time = [
        bucket("age", 20, 0.02),
        bucket("amount", 20, 0.1),
        bucket("amount", 10, 0.5),
        bucket("amount", 5, 9, 2),
    ]
    answers.add("/v1/models/churn/psi/over-time", {"model": "churn", "bucket_s": 60, "items": over_time})
    answers.add("/v1/models/churn/bins", {"model": "churn", "window_s": 3600, "items": [bins("amount"), bins("age")]})
    moved = alert(detector="adwin", event_id=str(UUID(int=3)), summary="the mean of amount moved from 20 to 31")
    answers.add("/v1/alerts", {"items": [alert(), moved], "next_after": None})
    answers.add("/v1/models/churn/alarms", {"items": [ERRORS]})
    answers.add("/v1/rollouts", {"items": []})
    world.sign_in()
    return world


def test_features_are_ranked_by_psi_beyond_chance(drifting: World) -> None:
    text = text_of(drifting.browser.get("/models/churn/drift"))
    ranking = text.partition("What moved most")[2].partition("Training data and now")[0]
    assert ranking.index("amount") < ranking.index("score") < ranking.index("age")
    assert "the mean of amount moved from 20 to 31" in text
    assert "the error rate rose" in text
    assert "below 20" in text


def test_one_feature_is_shown_by_its_address(drifting: World) -> None:
    page = drifting.browser.get("/models/churn/drift?subject=feature:age&window=24h")
    text = text_of(page)
    assert "Only age" in text
    assert "expected without drift" in page.text.partition("data-chart")[2]
    assert text.count("below 20") == 1
    [asked] = [one.url.params for one in drifting.answers.asked if one.url.path.endswith("/psi")]
    assert float(asked["window_s"]) == 86_400


@pytest.mark.parametrize("query", ["?serving=9-stable", "?serving=x", "?subject=feature:unknown", "?subject=score"])
def test_an_address_of_something_that_is_gone_still_shows_a_page(drifting: World, query: str) -> None:
    assert drifting.browser.get(f"/models/churn/drift{query}").status_code == 200


def test_drift_of_a_model_without_traffic_shows_what_to_do(drifting: World) -> None:
    for path in ("psi", "bins"):
        drifting.answers.add(f"/v1/models/churn/{path}", {"model": "churn", "window_s": 3600, "items": []})
    drifting.answers.add("/v1/models/churn/psi/over-time", {"model": "churn", "bucket_s": 60, "items": []})
    drifting.answers.add("/v1/alerts", {"items": [], "next_after": None})
    drifting.answers.add("/v1/models/churn/alarms", {"items": []})
    text = text_of(drifting.browser.get("/models/churn/drift"))
    for expected in ("modelyard predict churn", "No mean moved", "No rise of the errors", "No histogram"):
        assert expected in text


def test_each_part_is_missing_alone_while_its_service_is_away(drifting: World) -> None:
    drifting.answers.away |= {"monitor", "deployer"}
    page = drifting.browser.get("/models/churn/drift")
    assert page.status_code == 200
    assert page.text.count("The monitor is away") == 5


def test_drift_of_an_unknown_model_is_not_found(drifting: World) -> None:
    assert drifting.browser.get("/models/nothing/drift").status_code == 404


def test_hostile_feature_names_are_shown_as_text(drifting: World) -> None:
    drifting.answers.add("/v1/models/churn/psi", {"items": [psi(HOSTILE, 0.5)]})
    drifting.answers.add("/v1/models/churn/bins", {"model": "churn", "window_s": 60, "items": [bins(HOSTILE)]})
    page = drifting.browser.get("/models/churn/drift", params={"subject": f"feature:{HOSTILE}"})
    assert page.status_code == 200
    assert HOSTILE not in page.text


def test_who_may_not_read_the_workspace_sees_no_drift(drifting: World) -> None:
    drifting.sign_in("risk-key")
    assert drifting.browser.get("/models/churn/drift").status_code == 403


def test_the_chart_draws_only_the_chosen_version_and_marks_within_its_time() -> None:
    over_time = StabilityOverTime.model_validate(
        {"model": "churn", "bucket_s": 60, "items": [bucket("amount", 10, 0.5), bucket("amount", 5, 9.0, 2)]}
    )
    rollouts = [
        RolloutRun.model_validate(
            {
                "rollout_id": str(UUID(int=number)),
                "model": "churn",
                "action": "start",
                "state": "promoted",
                "to_version": number,
                "changed_at": (NOW - timedelta(minutes=minutes)).isoformat(),
            }
        )
        for number, minutes in ((2, 600), (3, 8))
    ]
    about_age = Alert.model_validate(alert(subject="age"))
    subject = Subject("feature", "amount")
    chart = psi_chart(over_time, [subject], 3, "stable", marks_of(rollouts, [about_age], subject))
    assert [list(line.values) for line in chart.lines] == [[0.5], [0.01]]
    assert [mark.label for mark in chart.marks] == ["v3 promoted"]


def test_the_busiest_version_and_variant_come_first() -> None:
    rows = [psi("a", 0.1), psi("a", 0.1, variant="canary", current_rows=900), psi("b", 0.1, version=2, current_rows=5)]
    assert watched(rows) == [(3, "canary"), (3, "stable"), (2, "stable")]


def test_a_ranking_has_the_newest_alarm_of_its_own_version() -> None:
    old = Alert.model_validate(alert(event_id=str(UUID(int=4))))
    other = Alert.model_validate(alert(version=2))
    newest = Alert.model_validate(alert(event_id=str(UUID(int=6))))
    [amount] = ranked([psi("amount", 0.5)], 3, "stable", [newest, other, old])
    assert amount.alarm is not None
    assert amount.alarm.event_id == str(UUID(int=6))


@pytest.mark.parametrize(
    ("given", "text"), [("nothing", "no action"), ("wait_for_labels", "wait for labels"), ("", "–")]
)
def test_a_recommendation_is_in_words(given: str, text: str) -> None:
    assert recommended(given) == text
