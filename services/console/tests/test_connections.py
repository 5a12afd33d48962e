"""Connections to providers: listed, created, replaced by compare and swap, deleted; a key is never shown."""

import json
from typing import Any

import httpx
import pytest

from .conftest import World

AT = "2026-11-29T11:00:00Z"
DOCUMENT = {
    "endpoint": "https://api.example.com/v1",
    "secret": "PROVIDER_API_KEY",
    "currency": "EUR",
    "models": {"small-1": {"context_tokens": 8192, "input_per_million_tokens": 0.15}},
}
ONE = {"name": "acme:provider", "revision": 2, "document": DOCUMENT, "changed_at": AT, "changed_by": "ada"}
KEY = "sk-live-12345"


@pytest.fixture
def connections(world: World) -> World:
    world.answers.add("/v1/connections", {"items": [ONE], "next_after": None})
    world.answers.add("/v1/connections/acme:provider", {**ONE, "used_by": ["acme:answers@1"]})
    entry = {"position": 1, "revision": None, "change": "connection_created", "actor": "ada", "reason": "contract 7"}
    entry |= {"event_id": "e", "correlation_id": "c", "cause_id": None, "occurred_at": AT, "recorded_at": AT}
    history = {"items": [{**entry, "detail": DOCUMENT}], "next_after": None}
    world.answers.add("/v1/connections/acme:provider/history", history)
    world.sign_in()
    return world


def sent(world: World, path: str, **form: str) -> Any:
    data = {"csrf": world.csrf(), **form}
    return world.browser.post(path, data=data, follow_redirects=False)


def body_of(world: World, method: str) -> Any:
    return next(json.loads(one.content) for one in reversed(world.answers.asked) if one.method == method)


def test_connections_are_listed_and_one_shows_prices_users_and_revisions(connections: World) -> None:
    page = connections.browser.get("/admin/connections").text
    for shown in ('href="/admin/connections/acme%3Aprovider"', "https://api.example.com/v1", "PROVIDER_API_KEY", "EUR"):
        assert shown in page, shown
    one = connections.browser.get("/admin/connections/acme:provider").text
    for shown in ("Prices in EUR per 1,000,000 tokens", "small-1", "8,192", "/models/acme%3Aanswers/versions/1"):
        assert shown in one, shown
    assert "contract 7" in one and 'name="revision" value="2"' in one


def test_a_connection_is_created_and_replaced_with_the_revision_that_was_seen(connections: World) -> None:
    connections.answers.add("/v1/connections/new", {**ONE, "name": "new", "revision": 1}, "PUT")
    form = {"name": "new", "document": json.dumps(DOCUMENT), "reason": "contract 7"}
    made = sent(connections, "/admin/connections", **form)
    assert (made.status_code, made.headers["location"]) == (303, "/admin/connections/new")
    found = body_of(connections, "PUT")
    assert (found["expected_revision"], found["reason"], found["document"]["currency"]) == (0, "contract 7", "EUR")
    problem = {"title": "Conflict", "detail": "is at revision 3, not at 2", "field": "expected_revision"}
    connections.answers.add("/v1/connections/acme:provider", httpx.Response(409, json=problem), "PUT")
    changed = json.dumps({**DOCUMENT, "currency": "CHF"})
    stale = sent(connections, "/admin/connections/acme:provider", document=changed, revision="2")
    assert stale.status_code == 422 and "is at revision 3, not at 2" in stale.text and "CHF" in stale.text
    assert body_of(connections, "PUT")["expected_revision"] == 2


def test_a_wrong_connection_names_the_field_and_repeats_no_key_in_the_message(connections: World) -> None:
    text = json.dumps({**DOCUMENT, "secret": KEY})
    refused = sent(connections, "/admin/connections", name="new", document=text)
    message = refused.text.partition('role="alert"')[2].partition("</div>")[0]
    assert refused.status_code == 422
    assert "secret: must be the NAME of an environment variable" in message and KEY not in message
    assert not [one for one in connections.answers.asked if one.method == "PUT"]
    assert "is not JSON" in sent(connections, "/admin/connections", name="new", document="{").text


def test_a_connection_in_use_is_not_deleted(connections: World) -> None:
    problem = {"title": "Conflict", "code": "connection_in_use", "detail": "is used by acme:answers@1"}
    connections.answers.add("/v1/connections/acme:provider", httpx.Response(409, json=problem), "DELETE")
    refused = sent(connections, "/admin/connections/acme:provider/delete", revision="2", reason="tidy up")
    assert refused.status_code == 409 and "is used by acme:answers@1" in refused.text
    connections.answers.add("/v1/connections/acme:provider", httpx.Response(204), "DELETE")
    done = sent(connections, "/admin/connections/acme:provider/delete", revision="2", reason="tidy up")
    assert (done.status_code, done.headers["location"]) == (303, "/admin/connections")
    assert dict(connections.answers.asked[-1].url.params) == {"expected_revision": "2", "reason": "tidy up"}


def test_a_viewer_sees_connections_and_changes_none(connections: World) -> None:
    connections.sign_in("viewer-key")
    page = connections.browser.get("/admin/connections").text
    assert "acme:provider" in page and "Create the connection" not in page
    assert sent(connections, "/admin/connections", name="new", document="{}").status_code == 403
    connections.sign_in("risk-key")
    assert connections.browser.get("/admin/connections/acme:provider").status_code == 403
