"""Page times as a person has them: from the request to the last byte, and to the first paint of a Chromium.

`pytest -m bench -s services/console/tests/browser/test_bench_times.py` prints a table for docs/benchmarks.md with the
load of the machine. The services are replayed, so these are times of the console, of its templates and of the browser.
"""

import os
import re
import statistics
import time
from collections.abc import Callable, Sequence

import httpx
import pytest

from .conftest import Site, Visitor, first_paint_ms
from .replay import Recording
from .site_map import pages

PAGES = list(pages(Recording.load()))
ROUNDS = int(os.environ.get("PAGE_ROUNDS", "20"))
"""Requests per page; a quarter as many paints."""
MOST_MS = 10_000
"""No budget: wall time depends on the machine. A page that takes longer has stopped."""
pytestmark = [pytest.mark.bench, pytest.mark.timeout(1_800)]


def test_page_times_at_the_load_of_this_moment(site: Site, visit: Callable[..., Visitor]) -> None:
    """Wall time per page: p50 and p95 of all requests, median of the first paints."""
    visitor, before = visit(site), os.getloadavg()[0]
    client = httpx.Client(base_url=site.url, timeout=30)
    assert client.post("/sign-in", data={"key": "admin"}).status_code == 303
    rows = {path: (times_ms(client, path), paints_ms(visitor, path)) for path in PAGES}
    after, cores = os.getloadavg()[0], os.cpu_count()
    print(f"\n{time.strftime('%Y-%m-%d %H:%M')}, {cores} cores, load {before:.1f} to {after:.1f}, {ROUNDS} requests")
    print("| page | p50 ms | p95 ms | first paint ms |\n|---|---|---|---|")
    for path, (times, paints) in rows.items():
        p50, p95 = statistics.median(times), quantile(times, 0.95)
        print(f"| `{shown(path)}` | {p50:.0f} | {p95:.0f} | {statistics.median(paints):.0f} |")
    assert site.replay.missing == []
    assert max(max(times) for times, _ in rows.values()) < MOST_MS


def times_ms(client: httpx.Client, path: str) -> list[float]:
    """Wall times of ROUNDS requests after a first one."""
    client.get(path)
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        assert client.get(path).status_code == 200, path
        found.append((time.perf_counter() - began) * 1_000)
    return found


def paints_ms(visitor: Visitor, path: str) -> list[float]:
    """Times from navigation to the first contentful paint."""
    return [first_paint_ms(visitor.open(path)) for _ in range(max(1, ROUNDS // 4))]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed."""
    return sorted(values)[max(0, -(-int(share * 100) * len(values) // 100) - 1)]


def shown(path: str) -> str:
    """The address without ids."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", path)
