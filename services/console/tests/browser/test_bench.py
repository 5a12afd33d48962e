"""What pages cost the console itself; the services behind it are replayed."""

import asyncio
import time
from urllib.parse import urlsplit

import httpx
import pytest

from .conftest import Site
from .replay import Recording
from .site_map import pages

PAGES = list(pages(Recording.load()))
LIVE_PAGES = 200
ROUNDS = 20
SECONDS = 20
pytestmark = pytest.mark.bench


@pytest.fixture
def signed_in(site: Site) -> httpx.Client:
    client = httpx.Client(base_url=site.url, follow_redirects=False)
    assert client.post("/sign-in", data={"key": "admin"}).status_code == 303
    return client


@pytest.mark.parametrize("path", PAGES)
def test_a_page_takes_less_than_100_ms(signed_in: httpx.Client, path: str) -> None:
    """CPU time of the console and of its replayed services, per page."""
    signed_in.get(path)
    before = time.process_time()
    for _ in range(ROUNDS):
        assert signed_in.get(path).status_code == 200, path
    cpu_ms = (time.process_time() - before) / ROUNDS * 1000
    print(f"\n{path}: {cpu_ms:.1f} ms of CPU")
    assert cpu_ms < 100


async def test_200_open_pages_cost_less_than_a_tenth_of_a_core(site: Site, signed_in: httpx.Client) -> None:
    """CPU time of the console and of all readers, with one change per second."""
    cookie = signed_in.cookies["modelyard_session"]
    address = urlsplit(site.url)
    head = f"GET /live HTTP/1.1\r\nHost: console\r\nCookie: modelyard_session={cookie}\r\n\r\n".encode()
    events = [0] * LIVE_PAGES
    readers, writers = [], []  # a writer without a reference closes its connection
    for place in range(LIVE_PAGES):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(head)
        writers.append(writer)
        readers.append(asyncio.create_task(_count(reader, events, place)))
    await asyncio.sleep(2)  # sleep: all pages have read their greeting by then
    began, cpu = time.monotonic(), time.process_time()
    for _ in range(SECONDS):
        site.replay.push("deployer", "rollout", model="electricity")
        await asyncio.sleep(1)  # sleep: the pace of the changes
    share = (time.process_time() - cpu) / (time.monotonic() - began)
    for task in readers:
        task.cancel()
    for writer in writers:
        writer.close()
    print(f"\n{LIVE_PAGES} open pages, one change per second: {100 * share:.1f} % of a core")
    assert min(events) >= SECONDS / 3  # changes within a second and a bit arrive together
    assert share < 0.1


async def _count(reader: asyncio.StreamReader, events: list[int], place: int) -> None:
    while chunk := await reader.read(65_536):
        events[place] += chunk.count(b"event: changes")
