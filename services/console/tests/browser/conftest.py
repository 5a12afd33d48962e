"""A real Chromium before a real console whose services are replayed."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from modelyard_console.app import build
from modelyard_console.settings import Settings
from modelyard_runtime.access import Authenticator, Principal

from .replay import SERVICES, Recording, Replay

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-quic"),
)
ROLES = {
    role: Principal(role, "user", {"*": frozenset({role})})
    for role in ("viewer", "developer", "reviewer", "release-manager", "admin")
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These need a browser; without one they are skipped, unless REQUIRE_BROWSER=1."""
    here = Path(__file__).parent
    mine = [item for item in items if here in item.path.parents]
    for item in mine:
        item.add_marker(pytest.mark.process)
        item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser per module: while it lives, its event loop keeps asynchronous tests of this process from running."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail("no chromium; install Debian's package `chromium`")
        pytest.skip("no chromium; install Debian's package `chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Site:
    """A console, its address, and what its services answer."""

    url: str
    replay: Replay


@pytest.fixture(scope="session")
def recording() -> Recording:
    return Recording.load()


@contextmanager
def served(
    folder: Path,
    replay: Replay,
    hub: str = "https://huggingface.co",
    registry: httpx.BaseTransport | None = None,
    **more: Any,
) -> Iterator[Site]:
    """Run a console over replayed services, at the moment of the recording.

    hub: address of a model hub. registry: one in place of the recording. more: further settings.
    """
    (folder / "console.key").write_text("console-key-of-enough-letters")
    settings = Settings(
        data_dir=folder, service_key_file=folder / "console.key", call_timeout_s=5, hf_endpoint=hub, **more
    )

    async def introspect(key: str) -> Principal | None:
        return ROLES.get(key)

    def clock() -> Any:
        return replay.recording.at

    transports: dict[str, httpx.BaseTransport] = {one: replay.transport(one) for one in SERVICES}
    transports |= {"registry": registry} if registry is not None else {}
    service = build(settings, clock, Authenticator(None, introspect, clock), transports)
    server = Server(uvicorn.Config(service.app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=lambda: _run(server, service), daemon=True)
    thread.start()
    assert server.listening.wait(30)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Site(f"http://127.0.0.1:{port}", replay)
    finally:
        replay.end()
        server.should_exit = True
        server.force_exit = True
        thread.join(10)


class Server(uvicorn.Server):
    """Reports when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listening.set()


def _run(server: uvicorn.Server, service: Any) -> None:
    import asyncio

    async def live() -> None:
        await service.on_start()
        await server.serve()
        await service.on_stop()

    asyncio.run(live())


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, recording: Recording) -> Iterator[Site]:
    """The console with all services present."""
    with served(tmp_path_factory.mktemp("console"), Replay(recording)) as found:
        yield found


@pytest.fixture(scope="session")
def hostile_site(tmp_path_factory: pytest.TempPathFactory, recording: Recording) -> Iterator[Site]:
    """The console over services whose texts all try to break its pages."""
    with served(tmp_path_factory.mktemp("hostile-console"), replace(Replay(recording), hostile=True)) as found:
        yield found


@pytest.fixture
def other_site(tmp_path: Path, recording: Recording) -> Iterator[Callable[..., Site]]:
    """Make a console whose services are away, hostile, or answer actions in another way."""
    opened: list[Any] = []

    def make(**options: Any) -> Site:
        context = served(tmp_path, replace(Replay(recording), **options))
        opened.append(context)
        site: Site = context.__enter__()
        return site

    yield make
    for context in opened:
        context.__exit__(None, None, None)


@dataclass
class Visitor:
    """A signed-in person's tab, and every error in its console."""

    page: Page
    site: Site
    complaints: list[str]

    def open(self, path: str) -> Page:
        self.page.goto(self.site.url + path)
        self.page.wait_for_load_state("load")
        return self.page


PAINTED: Final = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
PAINT_POLLS: Final = 250


def first_paint_ms(page: Page) -> float:
    """Time from navigation to the first contentful paint. Polled here: waiting in the page needs `unsafe-eval`."""
    for _ in range(PAINT_POLLS):
        if found := page.evaluate(PAINTED):
            return float(found)
        page.wait_for_timeout(20)
    raise AssertionError(f"{page.url} was not painted")


def sign_in(context: BrowserContext, site: Site, role: str) -> None:
    """Start a session without drawing a page."""
    answer = context.request.post(f"{site.url}/sign-in", form={"key": role}, max_redirects=0)
    assert answer.status == 303, answer.text()


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Visitor]]:
    """Sign a person in: visit(site, role="admin", width=1280, dark=False)."""
    contexts: list[BrowserContext] = []

    def enter(site: Site, role: str = "admin", width: int = 1280, dark: bool = False) -> Visitor:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            timezone_id="Europe/Berlin",
            locale="en-GB",
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        sign_in(context, site, role)
        return Visitor(page, site, complaints)

    yield enter
    for context in contexts:
        context.close()
