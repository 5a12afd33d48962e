"""One field for everything: a single hit opens, several are listed, no hit lists what was tried."""

from typing import Any

import pytest

from modelyard_console.domain.finding import Hit, as_digest, as_uuid, only_hit

from .conftest import World

ID = "11111111-1111-4111-8111-111111111111"
NOW = "2026-11-29T11:00:00Z"
ALERT = {
    "event_id": ID,
    "type": "alert",
    "model": "m",
    "version": 1,
    "variant": "stable",
    "occurred_at": NOW,
    "correlation_id": "c",
    "kind": "labels_missing",
    "subject": "",
    "severity": "warning",
    "observed": 1.0,
    "threshold": 0.5,
}
HOSTILE = "<script>alert(1)</script>"


def model(name: str) -> dict[str, Any]:
    return {"name": name, "revision": 1, "latest_version": 1, "created_at": NOW}


def models(world: World, *names: str) -> None:
    world.answers.add("/v1/models", {"items": [model(name) for name in names], "next_after": None})


def target(world: World, q: str) -> str | None:
    answer = world.browser.get("/find", params={"q": q}, follow_redirects=False)
    return answer.headers.get("location") if answer.status_code == 303 else None


def test_the_only_hit_opens(world: World) -> None:
    world.sign_in()
    models(world)
    world.answers.add(f"/v1/runs/{ID}", {"run_id": ID, "model": "elec", "state": "training", "correlation_id": ID})
    assert target(world, ID) == f"/training/{ID}"
    assert target(world, f"  {ID.upper()} ") == f"/training/{ID}"


@pytest.mark.parametrize(
    ("path", "answer", "link"),
    [
        (f"/v1/evaluations/{ID}", {"evaluation_id": ID, "model": "m", "challenger_version": 2}, f"/evaluations/{ID}"),
        (
            f"/v1/rollouts/{ID}",
            {"rollout_id": ID, "model": "m", "action": "start", "state": "shifting"},
            f"/rollouts/{ID}",
        ),
        (
            f"/v1/timelines/{ID}",
            {"events": [{"event_id": "e", "occurred_at": NOW, "correlation_id": ID}]},
            f"/timelines/{ID}",
        ),
        (
            f"/v1/events/{ID}",
            {"event_id": ID, "occurred_at": NOW, "correlation_id": "c", "alert": ALERT},
            f"/alarms/{ID}",
        ),
        (
            f"/v1/events/{ID}",
            {"event_id": ID, "topic": "training.run.changed.v1", "occurred_at": NOW, "correlation_id": "c"},
            "/timelines/c",
        ),
    ],
)
def test_an_id_is_tried_at_every_owner(world: World, path: str, answer: dict[str, Any], link: str) -> None:
    world.sign_in()
    models(world)
    world.answers.add(path, answer)
    assert target(world, ID) == link


def test_an_exact_name_opens_although_others_contain_it(world: World) -> None:
    world.sign_in()
    models(world, "churn", "churn-eu")
    assert target(world, "churn") == "/models/churn"
    assert target(world, "chur") is None
    page = world.browser.get("/find?q=chur").text
    assert 'href="/models/churn-eu"' in page


def test_the_start_of_a_digest_leads_to_its_version(world: World) -> None:
    world.sign_in()
    models(world)
    found = {"model": "elec", "version": 3, "digest": "sha256:" + "ab" * 32, "stage": "live", "created_at": NOW}
    found |= {"created_by": "anna", "correlation_id": ID, "file": None}
    world.answers.add("/v1/digests/abab", {"items": [found], "next_after": None})
    world.answers.add("/v1/digests/ababab", {"items": [found], "next_after": None})
    assert target(world, "ABABAB") == "/models/elec/versions/3"
    assert target(world, "abab") is None, "too short to be asked for"


def test_nothing_found_says_what_was_tried(world: World) -> None:
    world.sign_in()
    models(world)
    page = world.browser.get(f"/find?q={ID}").text
    for tried in ("a prediction id", "the id of a rollout", "the correlation id of a timeline"):
        assert tried in page
    assert "the id of a rollout" not in world.browser.get("/find?q=churn").text


def test_a_service_that_is_away_is_named_and_nothing_opens_by_itself(world: World) -> None:
    world.sign_in()
    models(world, "churn")
    world.answers.away.add("monitor")
    answer = world.browser.get("/find?q=churn", follow_redirects=False)
    assert (answer.status_code, "The monitor is away" in answer.text) == (200, True)
    assert 'href="/models/churn"' in answer.text


def test_what_is_looked_for_is_shown_as_text(world: World) -> None:
    world.sign_in()
    models(world)
    page = world.browser.get("/find", params={"q": HOSTILE}).text
    assert HOSTILE not in page
    assert world.browser.get("/find").status_code == 200


def test_texts_are_taken_for_what_they_may_be() -> None:
    assert as_uuid("11111111111141118111111111111111") == ID
    assert as_uuid("churn") is None
    assert as_digest("sha256:ABCDEF") == "sha256:abcdef"
    assert as_digest("abcde") is None
    assert only_hit([]) is None
    one, exact = Hit("model", "a", "", "/a"), Hit("run", "b", "", "/b", exact=True)
    assert only_hit([one, exact]) is exact
    assert only_hit([exact, exact]) is None
