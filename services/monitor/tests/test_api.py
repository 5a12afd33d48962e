"""Answers of the API, who may read them, and how they agree with the OpenAPI document."""

import asyncio
from datetime import UTC, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from modelyard_contracts import DriftDetected, DriftKind, Severity
from modelyard_contracts.codec import Codec, encode
from modelyard_devstack.testing.access import role_keys, walk_access
from modelyard_devstack.testing.openapi import check_api
from modelyard_monitor.api.routes import add_routes
from modelyard_monitor.ingest.control_events import ControlEventIngest, control_topics
from modelyard_monitor.ingest.exactly_once import plan_text, planned_end
from modelyard_monitor.store.alarm_queries import AlarmQueries
from modelyard_monitor.store.queries import ReportQueries
from modelyard_monitor.store.vote_queries import VoteQueries
from modelyard_monitor.testing.samples import START, label, prediction, records
from modelyard_monitor.usecases.alarms import Alarms
from modelyard_monitor.usecases.reports import Reports
from modelyard_monitor.usecases.votes import Votes
from modelyard_runtime.access import Authenticator
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.kafka import Received

from .world import World

ADMIN = "admin@*"


def app_of(world: World, keys: Authenticator) -> FastAPI:
    readiness = Readiness()
    app = create_app(service="monitor", authenticator=keys, readiness=readiness)
    add_routes(
        app,
        Reports(ReportQueries(world.clickhouse), world.unwatched),
        Votes(VoteQueries(world.clickhouse)),
        Alarms(AlarmQueries(world.clickhouse), world.clock),
        world.unwatched,
        (),
        world.changes,
    )
    return app


def client(world: World, key: str | None = ADMIN) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app_of(world, role_keys()))
    return httpx.AsyncClient(transport=transport, base_url="http://monitor", headers=headers)


def events_of(world: World) -> ControlEventIngest:
    return ControlEventIngest(world.clickhouse, Codec(), world.letters, world.changes)


def drift(**fields: object) -> DriftDetected:
    given: dict[str, object] = {
        "event_id": uuid4(),
        "occurred_at": START,
        "correlation_id": uuid4(),
        "model": "m",
        "model_version": 1,
        "model_digest": "d",
        "kind": DriftKind.SCORE,
        "subject": "score",
        "detector": "psi",
        "severity": Severity.WARNING,
        "reason": "it moved",
        "statistic": 0.3,
        "threshold": 0.1,
        "reference_rows": 1,
        "current_rows": 1,
        "window_start": START,
        "window_end": START,
    }
    return DriftDetected.model_validate({**given, **fields})


def received(event: DriftDetected, offset: int, partition: int = 0) -> Received:
    return Received(event.TOPIC, partition, offset, event.model, encode(event), (), int(START.timestamp() * 1000))


async def test_health_counts_per_version_and_variant(world: World) -> None:
    rows = [prediction(i, latency_ms=float(i)) for i in range(4)]
    for place, status in enumerate(("timeout", "rejected"), start=4):
        rows.append(prediction(place, variant="canary", status=status, route="other", **{"class": None}))
    await world.predictions.store(records(rows))
    await world.labels.store(records([label(0, "0"), label(1, "1")]))
    later = START + timedelta(hours=1)
    await world.labels.store(records([label(0, "1", occurred_at=later)], first=2))

    async with client(world) as http:
        answer = (await http.get("/v1/models/m/health", params={"since": START.isoformat()})).json()
        other = (await http.get("/v1/models/m/health", params={"route": "other"})).json()
    canary, stable = answer["versions"]
    assert (canary["variant"], canary["predictions"], canary["errors"]) == ("canary", 2, 1)
    assert (stable["predictions"], stable["labelled"], stable["wrong"]) == (4, 2, 0)
    assert stable["latency_ms_p95"] >= stable["latency_ms_p50"]
    assert [one["variant"] for one in other["versions"]] == ["canary"]


async def test_a_timeline_is_its_events_in_order_without_repeats(world: World) -> None:
    audit = events_of(world)
    timeline = uuid4()
    second = drift(correlation_id=timeline, occurred_at=START + timedelta(seconds=5))
    first = drift(correlation_id=timeline)
    await audit.store([received(second, 0), received(first, 1), received(drift(), 2)])
    await audit.store([received(first, 3)])

    async with client(world) as http:
        events = (await http.get(f"/v1/timelines/{timeline}")).json()["events"]
        drifts = (await http.get("/v1/models/m/drift", params={"limit": 2})).json()["items"]
    assert [event["event_id"] for event in events] == [str(first.event_id), str(second.event_id)]
    assert events[0]["payload"]["reason"] == "it moved"
    assert drifts[0]["event_id"] == str(second.event_id)


@pytest.mark.parametrize("timestamp_ms", [-1, 2**62])
async def test_an_event_without_a_sane_kafka_timestamp_is_dated_by_itself(world: World, timestamp_ms: int) -> None:
    record = received(drift(), 0)
    record.timestamp_ms = timestamp_ms
    await events_of(world).store([record])
    [row] = world.clickhouse.rows("SELECT recorded_at FROM {db}.events")
    assert row["recorded_at"].replace(tzinfo=UTC) == START


async def test_control_events_are_recorded_once_per_record_and_bad_ones_are_dead_letters(world: World) -> None:
    audit = events_of(world)
    batch = [received(drift(), 0), Received(DriftDetected.TOPIC, 0, 1, "m", b"nonsense"), received(drift(), 2)]
    await audit.store(batch)
    await audit.store(batch)

    assert world.count("events") == 2
    assert world.is_exact("events")
    assert {offset for offset, _ in world.letters.letters} == {1}
    assert DriftDetected.TOPIC in control_topics()


async def test_psi_comes_with_its_expected_value_and_its_counts(world: World) -> None:
    await world.predictions.store(records([prediction(i, num_features=(9.0, 0.5)) for i in range(50)]))
    async with client(world) as http:
        items = (await http.get("/v1/models/m/psi", params={"window_s": 86_400 * 2})).json()["items"]
    found = {(item["kind"], item["feature"]): item for item in items}
    assert set(found) == {*(("feature", name) for name in "abcd"), ("score", ""), ("classes", "")}
    assert found["feature", "a"]["psi"] > found["feature", "a"]["expected_without_drift"]
    assert found["feature", "a"]["current_rows"] == 50


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/models/m/health?since=yesterday", "since"),
        ("/v1/models/m/health?since=2026-01-01T00:00:00", "since"),
        ("/v1/models/m/health?since=0001-01-01T00:00:00%2B14:00", "since"),
    ],
)
async def test_an_invalid_moment_is_refused_with_the_name_of_the_field(world: World, path: str, field: str) -> None:
    async with client(world) as http:
        answer = await http.get(path)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_every_route_needs_a_key(world: World) -> None:
    async with client(world, key=None) as http:
        for path in ("/v1/models/m/health", "/v1/models/m/drift", "/v1/models/m/psi", "/v1/ingest", "/metrics"):
            assert (await http.get(path)).status_code == 401, path


async def test_ingest_reports_what_is_stored(world: World) -> None:
    await world.predictions.store(records([prediction(0), prediction(1)]))
    async with client(world) as http:
        [row] = (await http.get("/v1/ingest")).json()["stored"]
    assert (row["rows"], row["distinct_offsets"], row["last_offset"]) == (2, 2, 1)


def test_a_plan_survives_the_commit_metadata_and_foreign_metadata_is_not_a_plan() -> None:
    assert planned_end(plan_text(41)) == 41
    assert [planned_end(text) for text in ("", "{", "[]", '{"v":2,"b":1}', '{"v":1,"b":"x"}', "null")] == [None] * 6


async def test_every_endpoint_holds_the_grants(world: World) -> None:
    stream = frozenset({"/v1/changes"})  # its answer does not end; the test below covers it
    assert await walk_access(lambda keys: app_of(world, keys), skip=stream) > 100


@pytest.mark.slow
def test_made_up_requests_get_only_answers_that_the_document_describes(world: World) -> None:
    assert check_api(app_of(world, role_keys()), examples=10) >= 6


async def test_versions_that_are_not_watched_are_listed_with_the_reason_where_the_caller_may_read(world: World) -> None:
    await world.predictions.store(records([prediction(0, model_version=7), prediction(1, model="acme:m")]))
    async with client(world) as http:
        everything = (await http.get("/v1/unwatched")).json()["items"]
    async with client(world, "viewer@acme") as http:
        mine = (await http.get("/v1/unwatched")).json()["items"]
    assert [(one["model"], one["version"]) for one in everything] == [("acme:m", 1), ("m", 7)]
    assert {one["reason"] for one in everything} == {"the registry has no such version"}
    assert [one["model"] for one in mine] == ["acme:m"]


async def test_a_timeline_shows_only_events_of_workspaces_that_the_caller_may_read(world: World) -> None:
    shared = uuid4()
    here, there = drift(model="acme:m", correlation_id=shared), drift(model="other:m", correlation_id=shared)
    await events_of(world).store([received(here, 0), received(there, 1)])
    async with client(world, "viewer@acme") as http:
        events = (await http.get(f"/v1/timelines/{shared}")).json()["events"]
    assert [event["model"] for event in events] == ["acme:m"]


async def test_drift_is_followed_as_server_sent_events(world: World) -> None:
    event = drift()
    app = app_of(world, role_keys())
    arrived: asyncio.Queue[str] = asyncio.Queue()
    left = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await arrived.put(message["body"].decode())

    headers = [(b"authorization", f"Bearer {ADMIN}".encode()), (b"host", b"monitor")]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "headers": headers,
        "path": "/v1/changes",
        "raw_path": b"/v1/changes",
        "query_string": b"model=m",
        "root_path": "",
        "client": ("test", 1),
        "server": ("monitor", 80),
        "asgi": {"version": "3.0"},
    }
    following = asyncio.create_task(app(scope, receive, send))
    try:
        assert "id: " in await asyncio.wait_for(arrived.get(), 20)
        await events_of(world).store([received(drift(model="another"), 0), received(event, 1)])
        sent = await asyncio.wait_for(arrived.get(), 20)
        assert "event: drift" in sent
        assert str(event.event_id) in sent
    finally:
        left.set()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
