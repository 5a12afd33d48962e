"""A console over services that are stand-ins: canned answers by method and path."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from modelyard_console.app import build
from modelyard_console.settings import Settings
from modelyard_runtime.access import Authenticator, Principal

KEYS = {
    "admin-key": Principal("admin", "bootstrap", {"*": frozenset({"admin"})}),
    "viewer-key": Principal("vera", "user", {"default": frozenset({"viewer"})}),
    "reviewer-key": Principal("rita", "user", {"default": frozenset({"reviewer"})}),
    "risk-key": Principal("ron", "user", {"risk": frozenset({"viewer"})}),
}
SERVICES = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 29, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Answers:
    """Answers of the services. A path without one is 404; a service in `away` does not answer."""

    given: dict[tuple[str, str], Any] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    asked: list[httpx.Request] = field(default_factory=list)
    any_blob: bool = False
    """Whether the registry has every blob that it is asked for."""

    def add(self, path: str, answer: Any, method: str = "GET") -> None:
        self.given[method, path] = answer

    def transport(self, service: str) -> httpx.MockTransport:
        def respond(request: httpx.Request) -> httpx.Response:
            if service in self.away:
                raise httpx.ConnectError("connection refused")
            self.asked.append(request)
            if self.any_blob and request.url.path.startswith("/v1/blobs/"):
                return httpx.Response(200)
            found = self.given.get((request.method, request.url.path))
            if isinstance(found, httpx.Response):
                return found
            if found is None:
                problem = {"title": "Not Found", "code": "not_found", "detail": f"no answer for {request.url.path}"}
                return httpx.Response(404, json=problem)
            return httpx.Response(200, text=json.dumps(found, default=str))

        return httpx.MockTransport(respond)


@dataclass
class World:
    """A console, its stand-ins, and a browser without scripts."""

    answers: Answers
    clock: Clock
    browser: TestClient
    principals: dict[str, Principal | None]
    folder: Path
    unavailable: Exception | None = None
    """Raised in place of an answer of the registry about a key."""

    def sign_in(self, key: str = "admin-key", **form: str) -> Any:
        return self.browser.post("/sign-in", data={"key": key, **form}, follow_redirects=False)

    def csrf(self, page: str = "/components") -> str:
        """The token that the forms of a page send."""
        text = self.browser.get(page).text
        return text.partition('name="csrf" value="')[2].partition('"')[0]


@pytest.fixture
def registry() -> httpx.BaseTransport | None:
    """A registry in place of the stand-in; tests that need one override this."""
    return None


@pytest.fixture
def world(tmp_path: Path, registry: httpx.BaseTransport | None) -> Iterator[World]:
    key_file = tmp_path / "console.key"
    key_file.write_text("console-key-of-enough-letters")
    answers, clock, principals = Answers(), Clock(), dict[str, Principal | None](KEYS)

    worlds: list[World] = []

    async def introspect(key: str) -> Principal | None:
        if worlds and worlds[0].unavailable:
            raise worlds[0].unavailable
        return principals.get(key)

    settings = Settings(data_dir=tmp_path, service_key_file=key_file)
    transports: dict[str, httpx.BaseTransport] = {name: answers.transport(name) for name in SERVICES}
    transports |= {"registry": registry} if registry is not None else {}
    service = build(settings, clock, Authenticator(None, introspect, clock), transports)
    assert service.on_start and service.on_stop
    browser = TestClient(service.app, base_url="http://console")
    with browser:
        assert browser.portal
        browser.portal.call(service.on_start)
        worlds.append(World(answers, clock, browser, principals, tmp_path))
        yield worlds[0]
        browser.portal.call(service.on_stop)


def press(world: World, page: str, action: str) -> Any:
    """Press a button of a page that has a form without fields."""
    return world.browser.post(f"{page}/{action}", data={"csrf": world.csrf()}, follow_redirects=False)


def waited_within(seconds: float, world: World, page: str, *shown: str) -> str:
    """The page, once it shows one of the texts."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        text = world.browser.get(page).text
        if any(one in text for one in shown):
            return text
        time.sleep(0.05)  # sleep: a job runs in a thread
    raise AssertionError(f"the page shows none of {shown}: {text}")
