"""Signing in and out, sessions that end, forms of other sites, and what the browser may load."""

import re
from html import unescape

import pytest

from modelyard_console.domain.links import safe_next
from modelyard_console.domain.sealing import new_cookie, seal, unseal
from modelyard_runtime.errors import Unavailable

from .conftest import World


def test_without_a_session_a_page_leads_to_signing_in_and_back(world: World) -> None:
    away = world.browser.get("/components?x=1", follow_redirects=False)
    assert (away.status_code, away.headers["location"]) == (303, "/sign-in?next=%2Fcomponents%3Fx%3D1")
    assert world.sign_in(next="/components?x=1").headers["location"] == "/components?x=1"
    assert "Key figures" in world.browser.get("/components").text


def test_the_page_for_developers_of_pages_is_in_no_menu(world: World) -> None:
    world.sign_in()
    assert 'href="/components"' not in world.browser.get("/components").text


@pytest.mark.parametrize(
    ("key", "status", "reason"), [("", 422, "Enter an API key"), ("wrong", 401, "unknown, expired")]
)
def test_a_wrong_key_is_refused_with_its_reason(world: World, key: str, status: int, reason: str) -> None:
    refused = world.sign_in(key)
    assert refused.status_code == status
    assert reason in refused.text
    assert "set-cookie" not in refused.headers


def test_the_cookie_cannot_be_read_by_scripts_and_the_database_holds_no_key(world: World) -> None:
    cookie = world.sign_in().headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    stored = b"".join(path.read_bytes() for path in world.folder.glob("service.db*"))
    assert b"admin-key" not in stored
    assert cookie.partition("=")[2].partition(";")[0].encode() not in stored


def test_a_session_ends_after_its_idle_time_and_at_the_latest_after_a_week(world: World) -> None:
    world.sign_in()
    for _ in range(16):
        world.clock.forward(hours=10)
        assert world.browser.get("/components", follow_redirects=False).status_code == 200
    world.clock.forward(hours=10)
    assert world.browser.get("/components", follow_redirects=False).status_code == 303
    world.sign_in()
    world.clock.forward(hours=12, seconds=1)
    assert world.browser.get("/components", follow_redirects=False).status_code == 303


def test_a_revoked_key_ends_its_sessions(world: World) -> None:
    world.sign_in()
    world.principals["admin-key"] = None
    world.clock.forward(seconds=31)
    assert world.browser.get("/components", follow_redirects=False).headers["location"].startswith("/sign-in")


def test_while_keys_cannot_be_checked_the_page_says_so(world: World) -> None:
    world.sign_in()
    world.unavailable = Unavailable("the registry does not answer")
    world.clock.forward(minutes=11)
    answer = world.browser.get("/components")
    assert answer.status_code == 503
    assert "cannot be checked" in answer.text


def test_signing_out_ends_the_session_for_a_copied_cookie_too(world: World) -> None:
    world.sign_in()
    cookies = dict(world.browser.cookies)
    world.browser.post("/sign-out", data={"csrf": world.csrf()})
    assert world.browser.get("/components", cookies=cookies, follow_redirects=False).status_code == 303


def test_a_form_without_the_token_of_the_session_is_refused(world: World) -> None:
    world.sign_in()
    for token in ("", "0" * 64):
        answer = world.browser.post("/sign-out", data={"csrf": token})
        assert answer.status_code == 403
        assert "another session" in answer.text
    assert world.browser.get("/components", follow_redirects=False).status_code == 200


def test_another_site_cannot_sign_a_browser_in(world: World) -> None:
    sent = {"key": "viewer-key"}
    answer = world.browser.post("/sign-in", data=sent, headers={"sec-fetch-site": "cross-site"}, follow_redirects=False)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_a_form_that_was_sent_after_the_session_had_ended_is_kept(world: World) -> None:
    typed = {"reason": "tested <b>twice</b>", "back": "/models/churn", "csrf": "old"}
    again = world.browser.post("/models/churn/versions/3/approve", data=typed)
    assert again.status_code == 401
    kept = unescape(re.findall(r'name="kept" value="([^"]*)"', again.text)[0])
    shown = world.sign_in(kept=kept)
    assert "tested &lt;b&gt;twice&lt;/b&gt;" in shown.text
    assert 'action="/models/churn/versions/3/approve"' in shown.text
    assert "old" not in re.findall(r'name="csrf" value="([^"]*)"', shown.text)


def test_a_form_of_another_site_is_not_kept(world: World) -> None:
    sent = {"reason": "chosen by an attacker"}
    answer = world.browser.post("/models/churn/retrain", data=sent, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 401
    assert "attacker" not in answer.text


def test_a_code_of_the_command_line_signs_in_once(world: World) -> None:
    made = world.browser.post("/v1/sign-in-codes", headers={"authorization": "Bearer viewer-key"}).json()
    first = world.browser.get(f"/sign-in?code={made['code']}", follow_redirects=False)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    world.browser.cookies.clear()
    assert "was used or is older" in world.browser.get(f"/sign-in?code={made['code']}").text


def test_a_code_ends_after_five_minutes_and_needs_a_key(world: World) -> None:
    made = world.browser.post("/v1/sign-in-codes", headers={"authorization": "Bearer viewer-key"}).json()
    world.clock.forward(minutes=5)
    assert "was used or is older" in world.browser.get(f"/sign-in?code={made['code']}").text
    assert world.browser.post("/v1/sign-in-codes", headers={"authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.parametrize("path", ["/sign-in", "/components", "/nowhere", "/static/console.js"])
def test_a_page_may_load_nothing_foreign_and_run_no_inline_script(world: World, path: str) -> None:
    world.sign_in()
    answer = world.browser.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_page_has_inline_scripts_or_styles_which_the_policy_would_block(world: World) -> None:
    world.sign_in()
    page = world.browser.get("/components").text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style", page)
    assert not re.search(r"<[^>]*\s(style|on\w+)=", page)


@pytest.mark.parametrize("wanted", ["//evil.example", "/\\evil.example", "https://evil.example", "models", "/a\nb", ""])
def test_after_signing_in_nothing_leads_to_another_site(wanted: str) -> None:
    assert safe_next(wanted) == "/"
    assert safe_next("/models?q=a") == "/models?q=a"


def test_a_sealed_key_opens_with_its_own_cookie_only() -> None:
    cookie, other = new_cookie(), new_cookie()
    sealed = seal(cookie, "my key")
    assert unseal(cookie, sealed) == "my key"
    assert unseal(other, sealed) is None
    assert unseal(cookie, sealed[:-1] + bytes([sealed[-1] ^ 1])) is None


def test_a_form_with_an_empty_field_is_shown_again_with_what_was_typed(world: World) -> None:
    world.sign_in()
    sent = {"csrf": world.csrf(), "back": "/models/churn", "reason": " ", "note": "typed with care"}
    answer = world.browser.post("/models/churn/retrain", data=sent)
    assert answer.status_code == 422
    assert "fill in this field" in answer.text
    assert "typed with care" in answer.text
    assert 'action="/models/churn/retrain"' in answer.text


def test_a_program_with_a_key_is_told_where_pages_and_apis_are(world: World) -> None:
    answer = world.browser.get("/components", headers={"authorization": "Bearer viewer-key"})
    assert answer.status_code == 403
    assert "programs call the APIs" in answer.text
