"""Reads for pages: traffic, alerts, single predictions, PSI over time and histograms."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from modelyard_contracts import AlertRaised, DriftDetected, Severity
from modelyard_contracts.codec import encode
from modelyard_contracts.messages.serving import Attempt
from modelyard_devstack.testing.access import role_keys, walk_access
from modelyard_devstack.testing.openapi import check_api
from modelyard_monitor.api.lookups import Lookups, add_lookups
from modelyard_monitor.clients.registry import RegistryAway
from modelyard_monitor.domain.bins import histogram_bins
from modelyard_monitor.domain.reports import RecordedEvent
from modelyard_monitor.domain.traffic import MAX_BUCKETS, bucket_length_s
from modelyard_monitor.domain.unseen_values import UnseenValue
from modelyard_monitor.ingest.control_events import ControlEventIngest
from modelyard_monitor.store.alert_queries import AlertQueries
from modelyard_monitor.store.bin_queries import BinQueries
from modelyard_monitor.store.label_queries import LabelQueries
from modelyard_monitor.store.prediction_queries import PredictionQueries
from modelyard_monitor.store.queries import ReportQueries
from modelyard_monitor.store.timeline_queries import TimelineQueries
from modelyard_monitor.store.traffic_queries import TrafficQueries
from modelyard_monitor.store.unseen_queries import UnseenQueries
from modelyard_monitor.testing.samples import START, digest_of_manifest, label, make_manifest, prediction, records
from modelyard_monitor.usecases.alerts import Alerts
from modelyard_monitor.usecases.bins import Bins
from modelyard_monitor.usecases.predictions import Predictions
from modelyard_monitor.usecases.rejected_labels import LabelsThatDoNotMatch
from modelyard_monitor.usecases.reports import Reports
from modelyard_monitor.usecases.timelines import Timelines
from modelyard_monitor.usecases.traffic import Traffic
from modelyard_monitor.usecases.unseen_values import UnseenValues
from modelyard_runtime.access import Authenticator
from modelyard_runtime.health import Readiness
from modelyard_runtime.http import create_app
from modelyard_runtime.kafka import Received

from .test_api import drift, events_of, received
from .world import World


def app_of(world: World, keys: Authenticator) -> FastAPI:
    app = create_app(service="monitor", authenticator=keys, readiness=Readiness())
    lookups = Lookups(
        Traffic(TrafficQueries(world.clickhouse), world.clock),
        Alerts(AlertQueries(world.clickhouse)),
        Predictions(PredictionQueries(world.clickhouse), world.manifests),
        Bins(BinQueries(world.clickhouse), world.clock),
        Timelines(
            TimelineQueries(world.clickhouse),
            Reports(ReportQueries(world.clickhouse), world.unwatched),
            UnseenValues(UnseenQueries(world.clickhouse), world.manifests),
        ),
        LabelsThatDoNotMatch(LabelQueries(world.clickhouse), world.manifests),
        world.clock,
    )
    add_lookups(app, lookups)
    return app


async def ask(world: World, path: str, key: str = "admin@*", **parameters: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app_of(world, role_keys()))
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://monitor", headers=headers) as client:
        return await client.get(path, params=parameters or None)


async def items(world: World, path: str, key: str = "admin@*", **parameters: Any) -> list[dict[str, Any]]:
    answer = await ask(world, path, key, **parameters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def alert(**fields: object) -> AlertRaised:
    given: dict[str, object] = {
        "event_id": uuid4(),
        "occurred_at": START,
        "correlation_id": uuid4(),
        "model": "m",
        "model_version": 1,
        "model_digest": "d",
        "alert": "error_rate_high",
        "subject": "requests",
        "severity": Severity.CRITICAL,
        "reason": "9 of the last 10 requests failed",
        "value": 0.9,
        "threshold": 0.5,
        "rows": 10,
        "window_start": START,
        "window_end": START,
        "sql": "SELECT 1",
    }
    return AlertRaised.model_validate({**given, **fields})


async def store(ingest: ControlEventIngest, *events: DriftDetected | AlertRaised) -> None:
    for place, event in enumerate(events):
        at_ms = int(START.timestamp() * 1000)
        await ingest.store([Received(event.TOPIC, 0, place, event.model, encode(event), (), at_ms)])


async def test_traffic_lists_models_by_requests_with_their_labels(world: World) -> None:
    rows = [prediction(i, latency_ms=10.0 + i, cost_usd=0.25) for i in range(4)]
    rows += [prediction(i, model="quiet", model_version=3) for i in range(4, 6)]
    rows += [prediction(6, variant="shadow"), prediction(7, model="quiet", status="timeout", **{"class": None})]
    await world.predictions.store(records(rows))
    await world.labels.store(records([label(0, "1"), label(1, "0"), label(1, "1", occurred_at=START)]))

    busy, quiet = await items(world, "/v1/traffic", since=START.isoformat())
    assert (busy["model"], busy["predictions"], busy["errors"], busy["versions"]) == ("m", 4, 0, [1])
    assert (busy["labelled"], busy["wrong"], busy["mean_absolute_error"], busy["cost_usd"]) == (2, 1, None, 1.0)
    assert datetime.fromisoformat(busy["last_at"]) == START + timedelta(seconds=3)
    assert 10.0 <= busy["latency_ms_p50"] <= busy["latency_ms_p95"] <= 13.0
    assert (quiet["model"], quiet["predictions"], quiet["errors"], quiet["labelled"]) == ("quiet", 3, 1, 0)
    assert [one["model"] for one in await items(world, "/v1/traffic", limit=1)] == ["m"]


async def test_traffic_shows_only_models_that_the_caller_may_read_and_counts_them_for_the_limit(world: World) -> None:
    rows = [prediction(i) for i in range(3)] + [prediction(9, model="acme:m")]
    await world.predictions.store(records(rows))
    assert [one["model"] for one in await items(world, "/v1/traffic", "viewer@acme", limit=1)] == ["acme:m"]
    assert [one["model"] for one in await items(world, "/v1/traffic", "viewer@default")] == ["m"]
    assert (await ask(world, "/v1/traffic", "none")).status_code == 403


async def test_traffic_over_time_is_one_row_per_interval_version_and_variant(world: World) -> None:
    rows = [prediction(0, cost_usd=0.5), prediction(1, cost_usd=0.25), prediction(61), prediction(62, variant="canary")]
    await world.predictions.store(records(rows))
    await world.labels.store(records([label(1, "0"), label(61, "1")]))
    answer = (await ask(world, "/v1/models/m/traffic", since=START.isoformat())).json()
    first, canary, stable = answer["items"]
    assert answer["bucket_s"] == 60
    assert (first["predictions"], first["labelled"], first["wrong"], first["cost_usd"]) == (2, 1, 1, 0.75)
    assert datetime.fromisoformat(first["at"]) == START
    assert (canary["variant"], canary["labelled"]) == ("canary", 0)
    assert datetime.fromisoformat(stable["at"]) == START + timedelta(seconds=60)
    assert (stable["variant"], stable["labelled"], stable["wrong"]) == ("stable", 1, 0)
    assert await items(world, "/v1/models/m/traffic", route="other") == []


def test_a_long_time_gets_wider_intervals() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert bucket_length_s(now - timedelta(hours=1), now, 60) == 60
    length_s = bucket_length_s(now - timedelta(days=1), now, 60)
    assert length_s > 60
    assert (now.timestamp() // length_s - (now - timedelta(days=1)).timestamp() // length_s) < MAX_BUCKETS
    assert bucket_length_s(now + timedelta(days=1), now, 60) == 60


async def test_alerts_and_drifts_are_one_list_newest_first_with_a_cursor(world: World) -> None:
    old, same, new = drift(), alert(), drift(model="acme:m", occurred_at=START + timedelta(seconds=5))
    await store(events_of(world), old, same, new, new)

    first = (await ask(world, "/v1/alerts", limit=1)).json()
    assert [one["event_id"] for one in first["items"]] == [str(new.event_id)]
    rest = (await ask(world, "/v1/alerts", limit=2, after=first["next_after"])).json()
    assert {one["event_id"] for one in rest["items"]} == {str(old.event_id), str(same.event_id)}
    assert rest["next_after"] is None

    found = {one["type"]: one for one in rest["items"]}
    assert found["alert"]["kind"] == "error_rate_high"
    assert (found["alert"]["observed"], found["alert"]["threshold"], found["alert"]["rows"]) == (0.9, 0.5, 10)
    assert found["alert"]["evidence_sql"] == "SELECT 1"
    assert (found["drift"]["kind"], found["drift"]["observed"], found["drift"]["summary"]) == ("score", 0.3, "it moved")


async def test_alerts_are_filtered_by_model_time_and_what_the_caller_may_read(world: World) -> None:
    here, there = drift(), drift(model="acme:m", occurred_at=START + timedelta(seconds=5))
    await store(events_of(world), here, there)
    assert [one["model"] for one in await items(world, "/v1/alerts", model="m")] == ["m"]
    later = (START + timedelta(seconds=1)).isoformat()
    assert [one["model"] for one in await items(world, "/v1/alerts", since=later)] == ["acme:m"]
    assert [one["model"] for one in await items(world, "/v1/alerts", "viewer@acme")] == ["acme:m"]
    assert (await ask(world, "/v1/alerts", "viewer@acme", model="m")).status_code == 403


async def test_alerts_are_filtered_by_kind_and_severity(world: World) -> None:
    await store(events_of(world), drift(), alert(), alert(alert="labels_missing", severity=Severity.WARNING))

    async def kinds(**asked: str) -> set[str]:
        return {one["kind"] for one in await items(world, "/v1/alerts", **asked)}

    assert await kinds(kind="score") == {"score"}
    assert await kinds(kind="labels_missing") == {"labels_missing"}
    assert await kinds(severity="critical") == {"error_rate_high"}
    assert await kinds(kind="score", severity="critical") == set()


async def test_a_drift_is_returned_with_its_whole_event_and_as_it_is_listed(world: World) -> None:
    here, there = drift(reference_counts=(1, 2)), alert(model="acme:m")
    await store(events_of(world), here, there)
    found = (await ask(world, f"/v1/events/{here.event_id}")).json()
    [listed] = await items(world, "/v1/alerts", model="m")
    assert (found["alert"], found["payload"]["reference_counts"]) == (listed, [1, 2])
    assert (await ask(world, f"/v1/events/{there.event_id}", "viewer@acme")).json()["alert"]["type"] == "alert"
    assert (await ask(world, f"/v1/events/{here.event_id}", "viewer@acme")).status_code == 404
    assert (await ask(world, f"/v1/events/{uuid4()}")).status_code == 404


def unseen_alert(values: int, **fields: object) -> AlertRaised:
    given = {"alert": "unseen_values_high", "subject": "c", "window_end": START + timedelta(seconds=values - 1)}
    return alert(**{"model_digest": digest_of_manifest(make_manifest()), **given, **fields})


async def test_an_alarm_about_unseen_values_shows_the_most_frequent_ones(world: World) -> None:
    frequent = {"gold": 4, "it's": 3, "a\\b": 3, "re\x1b[31md": 2, "": 2, "l" * 300: 1, "rare": 1}
    values = [*["x", "y", None] * 9, *(value for value, times in frequent.items() for _ in range(times))]
    rows: list[Any] = [prediction(number, cat_features=(value, "t")) for number, value in enumerate(values)]
    others = [
        *(prediction(number, cat_features=("another variant", "t"), variant="canary") for number in range(9)),
        *(prediction(number, cat_features=("failed", "t"), status="timeout") for number in range(9)),
        *(prediction(600 + number, cat_features=("later", "t")) for number in range(9)),
        prediction(3, cat_features=(), sampled=False),
    ]
    await world.predictions.store(records([*rows, *others]))
    broken = unseen_alert(len(values))
    classes = unseen_alert(len(values), alert="missing_values_high")
    await store(events_of(world), broken, classes)

    found = (await ask(world, f"/v1/events/{broken.event_id}")).json()
    assert [(one["value"], one["rows"]) for one in found["unseen"]] == [
        ("gold", 4),
        ("a\\b", 3),
        ("it's", 3),
        ("", 2),
        ("re�[31md", 2),
    ]
    assert (await ask(world, f"/v1/events/{classes.event_id}")).json()["unseen"] == [], "not about unseen values"


async def test_a_drift_shows_values_only_if_unseen_ones_contributed(world: World) -> None:
    await world.predictions.store(records([prediction(0, cat_features=("l" * 300, "t"))]))
    of: dict[str, Any] = {"model_digest": digest_of_manifest(make_manifest()), "kind": "feature", "subject": "c"}
    moved = drift(**of, reference_counts=(0, 0, 0, 5, 5), current_counts=(0, 0, 1, 4, 0))
    usual = drift(**of, reference_counts=(0, 0, 0, 5, 5), current_counts=(0, 0, 0, 5, 0))
    await store(events_of(world), moved, usual)
    [value] = (await ask(world, f"/v1/events/{moved.event_id}")).json()["unseen"]
    assert (value["rows"], len(value["value"]) <= 80, value["value"][:5]) == (1, True, "lllll")
    assert (await ask(world, f"/v1/events/{usual.event_id}")).json()["unseen"] == []


async def test_an_alarm_is_shown_without_values_while_the_registry_is_away_or_of_a_feature_that_is_gone(
    world: World,
) -> None:
    await world.predictions.store(records([prediction(0, cat_features=("gold", "t"))]))
    known, gone, numeric = unseen_alert(1), unseen_alert(1, subject="gone"), unseen_alert(1, subject="a")
    await store(events_of(world), known, gone, numeric)
    for event in (gone, numeric):
        assert (await ask(world, f"/v1/events/{event.event_id}")).json()["unseen"] == []
    world.manifests.error = RegistryAway("away")
    found = await ask(world, f"/v1/events/{known.event_id}")
    assert (found.status_code, found.json()["unseen"]) == (200, [])


def test_values_of_features_need_the_right_to_read_predictions() -> None:
    stored = RecordedEvent(
        event_id="e",
        topic="t",
        type="T",
        occurred_at=START,
        recorded_at=START,
        correlation_id="c",
        cause_id=None,
        model="m",
        payload={},
    )
    read: list[RecordedEvent] = []

    class Unseen:
        def of(self, event: RecordedEvent) -> tuple[UnseenValue, ...]:
            read.append(event)
            return (UnseenValue(value="gold", rows=1),)

    class Stored:
        def event(self, _: str) -> RecordedEvent:
            return stored

    lists: Any = (None, Stored(), Unseen())
    timelines = Timelines(*lists)
    assert timelines.event("e", lambda _: True, lambda _: False).unseen == ()
    assert read == []
    assert timelines.event("e", lambda _: True, lambda _: True).unseen[0].value == "gold"


async def test_a_prediction_is_shown_with_its_features_by_name_its_calls_and_its_labels(world: World) -> None:
    calls = [
        {"path": "", "model": "m", "version": 1, "digest": "d", "status": "timeout", "latency_ms": 3.0},
        {"path": "", "model": "m", "version": 1, "digest": "d", "status": "ok", "latency_ms": 2.0},
    ]
    rows = [
        prediction(0, status="timeout", **{"class": None}),
        prediction(0, attempts=tuple(map(Attempt.model_validate, calls)), num_features=(0.25, None)),
        prediction(0, model="acme:other"),
    ]
    await world.predictions.store(records(rows))
    await world.labels.store(records([label(0, "1")]))

    [found] = await items(world, "/v1/predictions/p0", model="m")
    assert (found["status"], found["class"], found["version"]) == ("ok", "1", 1)
    assert found["features"] == {"a": 0.25, "b": None, "c": "x", "d": "some text"}
    assert found["scores"] == {"0": 0.3, "1": 0.7}
    assert [one["status"] for one in found["attempts"]] == ["timeout", "ok"]
    both = await items(world, "/v1/predictions/p0")
    assert [one["model"] for one in both] == ["acme:other", "m"]
    assert both[0]["features"] is None, "no manifest, so no names"
    assert [one["model"] for one in await items(world, "/v1/predictions/p0", "viewer@acme")] == ["acme:other"]


async def test_a_prediction_is_found_by_an_id_with_slashes(world: World) -> None:
    await world.predictions.store(records([prediction(0, prediction_id="2026/11/29?row=1")]))
    [found] = await items(world, f"/v1/predictions/{quote('2026/11/29?row=1', safe='')}")
    assert found["prediction_id"] == "2026/11/29?row=1"


async def test_the_latest_label_that_matches_decides_whether_a_prediction_is_wrong(world: World) -> None:
    await world.predictions.store(records([prediction(0), prediction(1)]))
    later = START + timedelta(hours=1)
    labels = [label(0, "1"), label(0, "0", occurred_at=later), label(0, "nonsense", occurred_at=later)]
    await world.labels.store(records(labels))
    [found] = await items(world, "/v1/predictions/p0")
    assert [one["label"] for one in found["labels"]] == ["1", "0", "nonsense"]
    assert found["labels"][2]["rejected"] == "unknown_class"
    assert found["is_wrong"] is True
    [unlabelled] = await items(world, "/v1/predictions/p1")
    assert (unlabelled["labels"], unlabelled["is_wrong"]) == ([], None)


async def test_a_prediction_is_shown_without_names_while_the_registry_is_away(world: World) -> None:
    await world.predictions.store(records([prediction(0)]))
    world.manifests.error = RegistryAway("away")
    [found] = await items(world, "/v1/predictions/p0")
    assert (found["features"], found["num_features"]) == (None, [0.1, 0.5])


async def test_an_unknown_prediction_is_named_and_an_unreadable_one_looks_the_same(world: World) -> None:
    await world.predictions.store(records([prediction(0)]))
    unknown = await ask(world, "/v1/predictions/p9")
    assert (unknown.status_code, unknown.json()["field"]) == (404, "prediction_id")
    assert "p9" in unknown.json()["detail"]
    assert (await ask(world, "/v1/predictions/p0", "viewer@acme")).status_code == 404


async def test_psi_over_time_has_a_row_per_interval_with_its_rows(world: World) -> None:
    still = [prediction(i, num_features=(-1.0 + i / 25, 0.5)) for i in range(50)]
    moved = [prediction(3_600 + i, num_features=(9.0, 0.5)) for i in range(50)]
    await world.predictions.store(records(still + moved))
    world.clock.advance(2 * 3_600)
    answer = (await ask(world, "/v1/models/m/psi/over-time", feature="a", version=1)).json()
    before, after = answer["items"]
    assert answer["bucket_s"] == 3_600
    assert datetime.fromisoformat(after["at"]) - datetime.fromisoformat(before["at"]) == timedelta(hours=1)
    assert before["rows"] == after["rows"] == 50
    assert after["psi"] > before["psi"]
    assert {one["kind"] for one in await items(world, "/v1/models/m/psi/over-time", feature="")} == {"score", "classes"}
    assert await items(world, "/v1/models/m/psi/over-time", version=2) == []


async def test_histograms_have_readable_labels_and_agree_with_what_was_asked(world: World) -> None:
    rows = [prediction(i, cat_features=("x", "t")) for i in range(3)]
    rows += [prediction(3, cat_features=(None, "t")), prediction(4, cat_features=("new", "t"))]
    await world.predictions.store(records(rows))
    world.clock.advance(60)
    [found] = await items(world, "/v1/models/m/bins", feature="c", kind="feature", variant="stable")
    shown = {one["label"]: (one["reference"], one["current"]) for one in found["bins"]}
    assert shown == {"x": (2_000, 3), "y": (2_000, 0), "missing": (0, 1), "non-finite": (0, 0), "other": (0, 1)}
    assert found["current_rows"] == 5
    [numbers] = await items(world, "/v1/models/m/bins", feature="a")
    first, second = numbers["bins"][:2]
    assert first["label"].startswith("below ")
    assert first["upper"] == second["lower"]
    assert await items(world, "/v1/models/m/bins", feature="c", variant="canary") == []


def test_bins_are_labelled_from_their_edges() -> None:
    def row(bin_: int, lower: float | None) -> dict[str, Any]:
        return {"bin": bin_, "lower": lower, "category": None, "reference": 1}

    found = histogram_bins([row(-1, None), row(0, None), row(1, 20.0), row(2, 30.5), row(3, 12_345.6)], {1: 7})
    assert [one.label for one in found] == ["below 20", "20 to 30.5", "30.5 to 12346", "12346 or more", "missing"]
    assert [one.current for one in found] == [0, 7, 0, 0, 0]
    [whole] = histogram_bins([row(0, None)], {})
    assert whole.label == "all values"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/traffic?since=yesterday", "since"),
        ("/v1/traffic?limit=0", "limit"),
        ("/v1/models/m/traffic?bucket_s=0", "bucket_s"),
        ("/v1/alerts?after=nonsense", "after"),
        ("/v1/alerts?after=2026-01-01T00:00:00Z~x", "after"),
        ("/v1/alerts?model=A%20B", "model"),
        ("/v1/alerts?severity=loud", "severity"),
        ("/v1/events/nonsense", "event_id"),
        ("/v1/models/m/bins?kind=shape", "kind"),
        ("/v1/models/m/psi/over-time?version=0", "version"),
    ],
)
async def test_bad_parameters_are_refused_with_the_name_of_the_field(world: World, path: str, field: str) -> None:
    answer = await ask(world, path)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_rejected_labels_are_counted_by_reason_with_the_remedy(world: World) -> None:
    texts = ["YES", "YES", "may\x1bbe", "0", None]
    await world.predictions.store(records([prediction(number) for number in range(len(texts))]))
    await world.labels.store(
        records([label(number, text, value=None if text else 1.0) for number, text in enumerate(texts)])
    )
    found = (await ask(world, "/v1/models/m/labels/rejected", since=START.isoformat())).json()
    assert (found["labels"], found["reasons"]) == (4, {"unknown_class": 3, "wrong_kind": 1})
    assert found["texts"][0] == {"text": "YES", "reason": "unknown_class", "labels": 2}
    assert "may�be" in [one["text"] for one in found["texts"]]
    assert found["remedy"] == "send one of the classes '0', '1', or train a version that has this class"

    later = (START + timedelta(hours=1)).isoformat()
    none = (await ask(world, "/v1/models/m/labels/rejected", since=later)).json()
    assert (none["labels"], none["texts"], none["remedy"]) == (0, [], "")


async def test_rejected_labels_are_shown_without_a_remedy_while_the_classes_are_not_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.predictions.store(records([prediction(0)]))
    await world.labels.store(records([label(0, "maybe")]))

    def away(_: object) -> None:
        raise RegistryAway("connection refused")

    monkeypatch.setattr(world.manifests, "find", away)
    found = (await ask(world, "/v1/models/m/labels/rejected", since=START.isoformat())).json()
    assert (found["labels"], found["remedy"]) == (1, "")


async def test_every_lookup_holds_the_grants(world: World) -> None:
    assert await walk_access(lambda keys: app_of(world, keys)) > 100


@pytest.mark.slow
def test_made_up_lookups_get_only_answers_that_the_document_describes(world: World) -> None:
    assert check_api(app_of(world, role_keys()), examples=10) >= 6


async def test_an_event_that_was_recorded_twice_is_listed_once(world: World) -> None:
    event = drift()
    await events_of(world).store([received(event, 0), received(event, 7)])
    assert len(await items(world, "/v1/alerts")) == 1
