"""Live updates: what changed reaches the pages whose people may read it, once, however often it changed."""

import asyncio
import json
import threading
import time

import httpx
import pytest

from modelyard import ApiClient
from modelyard_console.live.followers import Followers
from modelyard_console.live.hub import KEPT, MAX_PAGES, Hint, Hub, TooManyPages
from modelyard_console.live.jobs import AT_ONCE, Jobs, Work
from modelyard_console.pages.live import wanted_by

from .conftest import KEYS


def everything(_: Hint) -> bool:
    return True


async def test_several_changes_of_one_rollout_are_one_hint() -> None:
    hub = Hub()
    with hub.subscribed(everything) as inbox:
        for _ in range(5):
            hub.publish(Hint("rollout", "churn"))
        hub.publish(Hint("run", "churn"))
        assert await inbox.read(1.0) == [Hint("rollout", "churn"), Hint("run", "churn")]
        assert await inbox.read(0.01) == []


async def test_changes_within_the_gathering_time_arrive_together() -> None:
    hub = Hub()
    with hub.subscribed(everything) as inbox:
        hub.publish(Hint("run", "a"))
        asyncio.get_running_loop().call_later(0.02, hub.publish, Hint("run", "b"))
        assert await inbox.read(1.0, gather_s=0.1) == [Hint("run", "a"), Hint("run", "b")]


async def test_a_page_hears_what_changed_between_its_reading_and_its_stream() -> None:
    hub = Hub()
    hub.publish(Hint("run", "before"))
    position = hub.position
    hub.publish(Hint("run", "churn"))
    hub.publish(Hint("rollout", "churn"))
    with hub.subscribed(everything, position) as inbox:
        assert await inbox.read(0.01) == [Hint("run", "churn"), Hint("rollout", "churn")]
    with hub.subscribed(everything, hub.position) as inbox:
        assert await inbox.read(0.01) == []


@pytest.mark.parametrize("position", ["old", "other-1", "x", "-", "other-" + "9" * 30])
async def test_a_position_that_is_not_known_makes_the_page_read_itself_again(position: str) -> None:
    hub = Hub()
    since = hub.position if position == "old" else position
    for _ in range(KEPT + 1):
        hub.publish(Hint("run", "churn"))
    with hub.subscribed(everything, since) as inbox:
        assert await inbox.read(0.01) == [Hint("reset")]


def test_a_person_hears_only_of_models_that_the_person_may_read() -> None:
    wanted = wanted_by(KEYS["risk-key"])
    assert wanted(Hint("rollout", "risk:loans"))
    assert not wanted(Hint("rollout", "churn"))
    assert not wanted(Hint("alert", "other:loans"))
    assert wanted(Hint("reset"))


async def test_a_page_too_many_gets_no_inbox_and_closed_pages_make_room() -> None:
    hub = Hub()
    pages = [hub.subscribed(everything) for _ in range(MAX_PAGES)]
    for page in pages:
        page.__enter__()
    with pytest.raises(TooManyPages), hub.subscribed(everything):
        pass
    pages[0].__exit__(None, None, None)
    with hub.subscribed(everything):
        assert hub.pages == MAX_PAGES


async def test_a_service_that_is_away_is_named_and_its_return_makes_pages_read_again() -> None:
    hub, answers = Hub(), iter([False, True])

    def respond(_: httpx.Request) -> httpx.Response:
        if not next(answers, True):
            raise httpx.ConnectError("connection refused")
        change = {"model": "churn"}
        return httpx.Response(200, text=f"event: rollout\nid: 1\ndata: {json.dumps(change)}\n\n")

    client = ApiClient("http://deployer", "key", transport=httpx.MockTransport(respond))
    followers = Followers(hub, lambda _: client, names=("deployer",))
    hub.start()
    with hub.subscribed(everything) as inbox:
        followers.start()
        seen: list[Hint] = []
        while Hint("rollout", "churn") not in seen:
            seen += await inbox.read(5.0)
            if Hint("away") in seen and Hint("reset") not in seen:
                assert "connection refused" in hub.away["deployer"]
        followers.stop()
    assert seen.index(Hint("away")) < seen.index(Hint("reset")) < seen.index(Hint("rollout", "churn"))


def test_a_job_whose_result_can_be_read_is_free() -> None:
    """Who reads the result of a job and starts it again at once is not refused."""
    jobs, results, free = Jobs(), list[str](), list[bool]()
    written, looked = threading.Event(), threading.Event()

    def write() -> None:
        results.append("failed")
        written.set()
        looked.wait(0.2)  # time for the reader to ask while the result is there, and the job is not yet over

    jobs.start("upload", lambda _: write)
    assert written.wait(30)
    free.append(not jobs.running("upload"))
    looked.set()
    assert (results, free) == (["failed"], [True])
    assert jobs.start("upload", lambda _: None)
    jobs.close()


def test_a_job_whose_result_cannot_be_written_does_not_keep_its_name() -> None:
    jobs = Jobs()

    def fail() -> None:
        raise OSError("no space left on device")

    jobs.start("upload", lambda _: fail)
    deadline = time.monotonic() + 30
    while jobs.running("upload") and time.monotonic() < deadline:
        time.sleep(0.01)  # sleep: polls a thread
    assert jobs.start("upload", lambda _: None)
    jobs.close()


def test_a_job_is_stopped_while_it_runs_and_while_it_waits() -> None:
    jobs, began, ended = Jobs(), threading.Semaphore(0), list[str]()

    def wait(name: str) -> Work:
        def run(stop: threading.Event) -> None:
            began.release()
            assert stop.wait(30)
            ended.append(name)

        return run

    names = [f"job {number}" for number in range(AT_ONCE + 1)]
    for name in names:
        assert jobs.start(name, wait(name))
    for _ in range(AT_ONCE):
        assert began.acquire(timeout=30)
    jobs.stop(names[-1])
    assert not jobs.running(names[-1]), "one that waits ends at once"
    jobs.stop(names[0])
    deadline = time.monotonic() + 30
    while jobs.running(names[0]) and time.monotonic() < deadline:
        time.sleep(0.01)  # sleep: polls a thread
    assert ended == [names[0]] and jobs.running(names[1]) and not jobs.stopping(names[1])
    jobs.close()
    while jobs.running(names[1]) and time.monotonic() < deadline:
        time.sleep(0.01)  # sleep: polls a thread
    assert ended == names[:2]
