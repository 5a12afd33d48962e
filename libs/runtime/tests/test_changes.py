"""Changes are logged in their transaction, and followed as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from modelyard_devstack.testing import eventually
from modelyard_devstack.testing.access import role_keys, walk_access
from modelyard_runtime.access import Authenticator
from modelyard_runtime.changes import Change, ChangeLog, ChangeSource, MemoryChanges, latest_of_each
from modelyard_runtime.database import Database
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.http.changes import add_change_feed


class Thing(BaseModel):
    id: str
    seen: int


@pytest.fixture
def log(database: Database) -> ChangeLog:
    return ChangeLog(database)


def add(database: Database, *subjects: str, model: str = "churn") -> None:
    for subject in subjects:
        with database.transaction() as tx:
            tx.changes.add("thing", subject, model=model)


def subjects(changes: list[Change] | None) -> list[str] | None:
    return None if changes is None else [change.subject for change in changes]


# -- the log in a database ---------------------------------------------------------------------------------------------


def test_changes_are_read_in_order_after_a_cursor(database: Database, log: ChangeLog) -> None:
    start = log.newest()
    add(database, "a", "b", "c")
    first = log.after(start, 2)
    assert subjects(first) == ["a", "b"]
    assert first is not None
    assert subjects(log.after(first[-1].cursor, 10)) == ["c"]
    assert subjects(log.after(log.newest(), 10)) == []


def test_a_change_that_was_rolled_back_is_never_seen(database: Database, log: ChangeLog) -> None:
    start = log.newest()
    with suppress(ZeroDivisionError), database.transaction() as tx:
        tx.changes.add("thing", "a", model="churn")
        raise ZeroDivisionError
    add(database, "b")
    assert subjects(log.after(start, 10)) == ["b"]


def test_a_cursor_that_was_pruned_is_no_longer_known(database: Database, log: ChangeLog) -> None:
    start = log.newest()
    add(database, "a")
    [change] = log.after(start, 1) or []
    assert log.prune(timedelta(0)) == 1
    assert log.after(change.cursor, 10) is None


@pytest.mark.parametrize("cursor", ["", "x", "1", "1.x", "-1.0", "9.9", f"0.{2**70}", "0.1.2", "٣.٣"])
def test_a_cursor_that_never_existed_is_not_known(log: ChangeLog, cursor: str) -> None:
    assert log.after(cursor, 10) is None


def test_a_commit_notifies_and_a_rollback_does_not(database: Database, log: ChangeLog) -> None:
    notified: list[str] = []
    end = log.subscribe(lambda: notified.append("now"))
    with suppress(ZeroDivisionError), database.transaction() as tx:
        tx.changes.add("thing", "a", model="churn")
        raise ZeroDivisionError
    assert notified == []
    add(database, "a")
    end()
    add(database, "b")
    assert notified == ["now"]


@pytest.mark.server
def test_a_transaction_that_commits_late_is_not_skipped(new_postgres_database: Callable[[], str]) -> None:
    from modelyard_runtime.clock import system_clock
    from modelyard_runtime.database import open_engine, runtime_metadata
    from modelyard_runtime.tables import add_changes_table

    engine = open_engine(new_postgres_database())
    metadata = runtime_metadata()
    add_changes_table(metadata)
    metadata.create_all(engine)
    database = Database(engine, system_clock)
    log = ChangeLog(database)
    start = log.newest()
    with database.transaction() as slow:
        slow.changes.add("thing", "slow", model="churn")
        add(database, "fast")
        assert subjects(log.after(start, 10)) == [], "an older transaction still runs"
    assert subjects(log.after(start, 10)) == ["slow", "fast"]
    database.close()


# -- the log in memory -------------------------------------------------------------------------------------------------


def test_a_log_in_memory_forgets_the_oldest_and_knows_it() -> None:
    log = MemoryChanges(capacity=2)
    start = log.newest()
    for subject in "abc":
        log.add("thing", subject, model="churn")
    assert log.after(start, 10) is None
    assert subjects(log.after(f"{start.partition('.')[0]}.1", 10)) == ["b", "c"]
    assert MemoryChanges().after(start, 10) is None, "another start"


def test_a_page_holds_each_resource_once() -> None:
    changes = [Change(str(number), "thing", subject, "m") for number, subject in enumerate("abab")]
    assert [change.cursor for change in latest_of_each(changes)] == ["2", "3"]


# -- the feed ----------------------------------------------------------------------------------------------------------


class Server:
    """An app whose `/v1/changes` is read as a client would: events are dictionaries of their fields."""

    def __init__(self, source: ChangeSource) -> None:
        self.readiness, self.source, self.rendered = Readiness(), source, 0
        self.sent = ""
        self.app = self.build(role_keys())

    def build(self, authenticator: Authenticator) -> FastAPI:
        app = create_app(service="toy", authenticator=authenticator, readiness=self.readiness)
        add_change_feed(app, self.source, "run", {"thing": self.render})
        return app

    def render(self, subject: str) -> Thing | None:
        self.rendered += 1
        return None if subject == "gone" else Thing(id=subject, seen=self.rendered)

    @asynccontextmanager
    async def follow(
        self, key: str = "viewer@*", query: str = "", **headers: str
    ) -> AsyncIterator[list[dict[str, Any]]]:
        events: list[dict[str, Any]] = []
        task = asyncio.create_task(self._read(events, key, query, headers))
        try:
            yield events
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _read(self, events: list[dict[str, Any]], key: str, query: str, headers: dict[str, str]) -> None:
        sent = {"authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/changes",
            "raw_path": b"/v1/changes",
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }

        async def receive() -> Any:
            if not asked:
                asked.append(True)
                return {"type": "http.request", "body": b"", "more_body": False}
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            self.sent += message.get("body", b"").decode()
            events.extend(_events(message.get("body", b"").decode()))
            if message["type"] == "http.response.start":
                events.append({"status": message["status"]})

        asked: list[bool] = []
        await self.app(scope, receive, send)
        events.append({"end": True})


def _events(text: str) -> Iterator[dict[str, Any]]:
    for block in text.split("\n\n"):
        if fields := dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")):
            yield {**fields, **({"data": json.loads(fields["data"])} if "data" in fields else {})}


@pytest.fixture
def memory() -> MemoryChanges:
    return MemoryChanges(capacity=3)


@pytest.fixture
def server(memory: MemoryChanges) -> Server:
    return Server(memory)


async def started(events: list[dict[str, Any]]) -> str:
    """The id that the feed starts after."""
    await eventually(lambda: len(events) > 1)
    return str(events[1]["id"])


def things(events: list[dict[str, Any]]) -> list[str]:
    return [event["data"]["id"] for event in events if event.get("event") == "thing"]


async def test_a_follower_gets_the_resource_as_its_endpoint_returns_it(server: Server, memory: MemoryChanges) -> None:
    async with server.follow() as events:
        await started(events)
        memory.add("thing", "a", model="churn")
        await eventually(lambda: things(events))
    assert events[0] == {"status": 200}
    assert events[-1] == {"event": "thing", "data": {"id": "a", "seen": 1}, "id": memory.newest()}


async def test_a_follower_resumes_after_the_last_event_it_saw(server: Server, memory: MemoryChanges) -> None:
    async with server.follow() as events:
        last = await started(events)
    for subject in ("a", "b"):
        memory.add("thing", subject, model="churn")
    async with server.follow(last_event_id=last) as events:
        await eventually(lambda: things(events) == ["a", "b"])


async def test_a_follower_that_is_too_far_back_is_reset(server: Server, memory: MemoryChanges) -> None:
    last = memory.newest()
    for subject in "abcd":
        memory.add("thing", subject, model="churn")
    async with server.follow(last_event_id=last) as events:
        await eventually(lambda: len(events) > 1)
        assert events[1] == {"event": "reset", "data": {}, "id": memory.newest()}
        memory.add("thing", "e", model="churn")
        await eventually(lambda: things(events) == ["e"])


async def test_a_follower_sees_its_model_and_its_workspaces_only(server: Server, memory: MemoryChanges) -> None:
    async with server.follow(key="viewer@acme") as mine, server.follow(query="model=acme:churn") as one:
        await started(mine)
        await started(one)
        memory.add("thing", "a", model="other:churn")
        memory.add("thing", "b", model="acme:churn")
        memory.add("thing", "c", model="acme:fraud")
        await eventually(lambda: things(mine) == ["b", "c"] and things(one) == ["b"])


async def test_what_no_longer_exists_is_left_out(server: Server, memory: MemoryChanges) -> None:
    async with server.follow() as events:
        await started(events)
        memory.add("thing", "gone", model="churn")
        memory.add("thing", "a", model="churn")
        await eventually(lambda: things(events) == ["a"])


async def test_a_feed_ends_when_the_service_stops(server: Server) -> None:
    async with server.follow() as events:
        await started(events)
        server.readiness.stop()
        await eventually(lambda: events[-1] == {"end": True}, 10)


async def test_followers_are_limited_and_leave_room_when_they_go(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard_runtime.http.changes.MAX_FOLLOWERS", 1)
    async with server.follow() as first:
        await started(first)
        async with server.follow() as second:
            await eventually(lambda: second)
            assert second[0] == {"status": 503}
    async with server.follow() as third:
        await started(third)
        assert third[0] == {"status": 200}


async def test_an_idle_feed_sends_comments(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.01)
    async with server.follow() as events:
        await eventually(lambda: "\n: ping" in server.sent)
        assert len(events) == 2, "comments are not events"


async def test_the_feed_holds_the_grants(server: Server) -> None:
    server.readiness.stop()  # so that the feed ends at once
    assert await walk_access(server.build) > 30
