"""Every page in a real browser: light, dark and narrow, without an error, readable by everybody."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from .conftest import Site, Visitor, first_paint_ms
from .replay import Recording
from .site_map import pages

SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""Folder for pictures of all pages; `make screenshots` sets it to docs/console."""
MAX_PAGE_BYTES = 300_000
NARROW = {"width": 380, "height": 800}
PAGES = list(pages(Recording.load()))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_complete_accessible_and_fits(site: Site, visit: Callable[..., Visitor], path: str) -> None:
    visitor = visit(site)
    site.replay.missing.clear()
    page = visitor.open(path)
    assert site.replay.missing == [], "the recording lacks answers that this page asks for"
    assert page.locator("main h1").inner_text()
    missing = page.locator(".notice.away.bad").all_inner_texts()
    assert missing == [] or path == "/components"
    assert page.evaluate("document.documentElement.scrollWidth") <= 1_280
    looks_right(page, path)
    assert visitor.complaints == []


def looks_right(page: Page, path: str) -> None:
    """Check accessibility, dark colours and the width of a phone, with a picture of each; then restore the size."""
    size = page.viewport_size
    assert size
    assert violations(page) == []
    picture(page, path, "light")
    page.emulate_media(color_scheme="dark")
    assert violations(page, {"runOnly": ["color-contrast"]}) == []
    picture(page, path, "dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    picture(page, path, "narrow")
    page.set_viewport_size(size)


def violations(page: Page, options: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    """Rules of axe that the page breaks, each with the first place."""
    found = Axe().run(page, options={"resultTypes": ["violations"], **(options or {})}).response["violations"]
    return [(one["id"], one["nodes"][0]["html"][:200]) for one in found]


def picture(page: Page, path: str, look: str) -> None:
    """Write a picture of the page for the docs, if asked to."""
    if SCREENSHOTS:
        page.wait_for_timeout(200)  # charts are drawn again after a change of size or colours
        page.screenshot(path=Path(SCREENSHOTS) / f"{_name(path)}-{look}.png", full_page=True)


def _name(path: str) -> str:
    short = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}", "one", path)
    return re.sub(r"[^a-z0-9]+", "-", short.lower()).strip("-") or "overview"


def test_a_page_with_its_files_is_small(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit(site)
    sizes: list[int] = []
    visitor.page.on("response", lambda answer: sizes.append(len(answer.body())) if "/live" not in answer.url else None)
    visitor.open("/models/electricity")
    assert sum(sizes) <= MAX_PAGE_BYTES


@pytest.mark.bench
@pytest.mark.parametrize("path", ["/", "/models/electricity"])
def test_a_page_paints_within_a_second(site: Site, visit: Callable[..., Visitor], path: str) -> None:
    """Wall time of a quiet machine, from the request to the first content."""
    visitor = visit(site)
    paints = []
    for _ in range(5):
        visitor.open(path)
        paints.append(first_paint_ms(visitor.page))
    print(f"\n{path}: first paint after {sorted(paints)[2]:.0f} ms (median of 5)")
    assert sorted(paints)[2] <= 1_000
