"""Dead letters of all services: counts, reasons, and having them handled again."""

import json
from typing import Any

import httpx
import pytest

from .conftest import World

NOW = "2026-11-29T11:00:00Z"
TOPIC = "training.run.changed.v1"
HOSTILE = "<script>alert(1)</script>"
PAGE = "/admin/dead-letters"


def letter(position: int, **fields: Any) -> dict[str, Any]:
    known = {"topic": TOPIC, "partition": 3, "offset": 40 + position, "position": position, "bytes": 120}
    return {**known, "reason": f"Undecodable: number {position}", "at": NOW, **fields}


def given(world: World, *items: dict[str, Any], count: int = 2, can_resend: bool = True) -> None:
    world.sign_in()
    topics = [{"topic": TOPIC, "count": count, "can_resend": can_resend}] if items else []
    world.answers.add("/v1/dead-letters", {"items": items, "topics": topics})


def test_letters_are_counted_by_service_and_listed_with_their_reason(world: World) -> None:
    given(world, letter(9), letter(8), count=70)
    page = world.browser.get(PAGE).text
    for shown in ("Undecodable: number 9", "70 waiting, the newest 2 are listed", TOPIC, "Evaluator", "49"):
        assert shown in page, shown
    assert "Dead letters" in world.browser.get("/admin").text


def test_letters_are_handled_again_up_to_the_newest_one_that_the_person_saw(world: World) -> None:
    given(world, letter(9), letter(8))
    world.answers.add("/v1/dead-letters/resend", {"handled": 2}, "POST")
    page = world.browser.get(PAGE).text
    assert 'name="through" value="9"' in page
    form = {"csrf": world.csrf(PAGE), "topic": TOPIC, "through": "9", "reason": "the schema is registered"}
    answer = world.browser.post(f"{PAGE}/trainer", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert json.loads(world.answers.asked[-1].content) == {
        "topic": TOPIC, "through": 9, "reason": "the schema is registered"
    }  # fmt: skip
    assert "handled 2 dead letters again" in world.browser.get(PAGE).text


@pytest.mark.parametrize(
    ("changes", "service", "status"),
    [({"through": "x"}, "trainer", 422), ({"reason": " "}, "trainer", 422), ({}, "router", 404)],
)
def test_a_form_that_names_no_letters_is_refused_before_it_is_sent(
    world: World, changes: dict[str, str], service: str, status: int
) -> None:
    given(world, letter(9))
    form = {"csrf": world.csrf(PAGE), "topic": TOPIC, "through": "9", "reason": "again", **changes}
    assert world.browser.post(f"{PAGE}/{service}", data=form).status_code == status
    assert not any(request.method == "POST" for request in world.answers.asked)


def test_a_refusal_says_why_and_keeps_the_reason(world: World) -> None:
    given(world, letter(9))
    problem = {"title": "Conflict", "detail": "the letters fail again: 100 in a row already"}
    world.answers.add("/v1/dead-letters/resend", httpx.Response(409, json=problem), "POST")
    form = {"csrf": world.csrf(PAGE), "topic": TOPIC, "through": "9", "reason": "once more"}
    answer = world.browser.post(f"{PAGE}/trainer", data=form)
    assert (answer.status_code, "fail again" in answer.text, "once more" in answer.text) == (409, True, True)


def test_rows_of_batches_are_sent_by_a_command(world: World) -> None:
    given(world, letter(9), can_resend=False)
    page = world.browser.get(PAGE).text
    assert f"modelyard dead-letters resend {TOPIC} monitor --apply" in page
    assert "Handle again" not in page


def test_without_letters_the_page_says_so_and_a_service_that_is_away_is_named(world: World) -> None:
    given(world)
    assert "No dead letters" in world.browser.get(PAGE).text
    world.answers.away.add("trainer")
    page = world.browser.get(PAGE).text
    assert "The trainer is away" in page
    assert "No dead letters" not in page


@pytest.mark.parametrize("key", ["viewer-key", "reviewer-key"])
def test_only_admins_of_all_workspaces_see_it(world: World, key: str) -> None:
    world.sign_in(key)
    assert world.browser.get(PAGE).status_code == 403
    assert PAGE not in world.browser.get("/admin").text


def test_hostile_reasons_are_shown_as_text(world: World) -> None:
    given(world, letter(9, reason=HOSTILE * 20))
    assert HOSTILE not in world.browser.get(PAGE).text
