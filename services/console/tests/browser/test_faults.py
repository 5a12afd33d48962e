"""Every page while each service is away, slow, or answers with an error; a stream that breaks; a clock that is off."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from modelyard_console.domain import links

from .conftest import Site, Visitor, served
from .replay import SERVICES, Recording, Replay
from .site_map import pages

FAULTS = ("away", "slow", "error", "nonsense")


class Faulty(Replay):
    """A replay in which one service fails."""

    fault = ""
    faulty = ""

    def transport(self, service: str) -> httpx.MockTransport:
        def answer(request: httpx.Request) -> httpx.Response:
            if service != self.faulty or request.url.path == "/v1/changes":
                return self._answer(service, request)
            if self.fault == "away":
                raise httpx.ConnectError("connection refused")
            if self.fault == "slow":
                raise httpx.ReadTimeout("timed out")
            if self.fault == "error":
                problem = {"title": "Internal Server Error", "code": "internal_error", "detail": "it broke"}
                return httpx.Response(500, json=problem)
            return httpx.Response(502, text="<html>Bad gateway</html>")

        return httpx.MockTransport(answer)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_page_names_a_service_that_fails_and_shows_the_rest(
    tmp_path: Path, recording: Recording, fault: str
) -> None:
    replay = Faulty(recording)
    replay.fault = fault
    with served(tmp_path, replay) as site, httpx.Client(base_url=site.url, timeout=60) as client:
        assert client.post("/sign-in", data={"key": "admin"}).status_code == 303
        for service in SERVICES:
            replay.faulty = service
            for path in pages(recording):
                page = client.get(path)
                assert page.status_code in (200, 500, 502, 503), (service, path, page.status_code)
                assert "<h1" in page.text, (service, path)
                broken = page.status_code != 200
                assert not broken or f"The {service} is away" in page.text, (service, path, page.text[-900:])


def test_a_stream_that_breaks_is_shown_and_opens_again(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(site)
    page = visitor.page
    page.route("**/live?since=*", lambda route: route.abort())
    visitor.open("/")
    expect(page.locator("[data-live-state=off]")).to_have_text("reconnecting", timeout=30_000)
    page.unroute("**/live?since=*")
    expect(page.locator("[data-live-state=on]")).to_have_text("live", timeout=60_000)


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_of_a_viewer_that_is_off_changes_no_age(site: Site, visit: Callable[..., Visitor], hours: int) -> None:
    ages = []
    for off in (0, hours):
        visitor = visit(site)
        visitor.page.clock.install(time=site.replay.recording.at + timedelta(hours=off))
        page = visitor.open(links.model("electricity"))
        expect(page.locator("[data-live-state=on]")).to_be_visible(timeout=30_000)
        ages.append(page.locator("#versions time[data-ago]").all_inner_texts())
    assert ages[0] and ages[0] == ages[1]
