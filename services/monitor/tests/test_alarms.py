"""Which performance alarms are open, since when, and where the change lies."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest

from modelyard_contracts import DriftDetected, DriftKind, Message, ResourceChange, ResourceChanged, Severity
from modelyard_contracts.codec import encode
from modelyard_monitor.domain.change_point import rise_of
from modelyard_monitor.testing.samples import START, digest_of_manifest, label, make_manifest, prediction, records
from modelyard_runtime.kafka import Received

from .test_api import client, events_of
from .world import World

CHANGE, ALARM = 300, 450
"""Row after which every second prediction is wrong, and the newest row that the alarm has seen."""


def alarm(**fields: Any) -> DriftDetected:
    given: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": START + timedelta(seconds=ALARM),
        "correlation_id": uuid4(),
        "model": "m",
        "model_version": 1,
        "model_digest": digest_of_manifest(make_manifest()),
        "kind": DriftKind.PERFORMANCE,
        "subject": "error_rate",
        "detector": "window",
        "severity": Severity.CRITICAL,
        "reason": "the error rate rose",
        "statistic": 0.4,
        "threshold": 0.03,
        "reference_rows": 500,
        "current_rows": 150,
        "window_start": START + timedelta(seconds=ALARM - 50),
        "window_end": START + timedelta(seconds=ALARM),
        "recommendation": "retrain",
    }
    return DriftDetected.model_validate({**given, **fields})


def champion(version: int, seconds: float) -> ResourceChanged:
    return ResourceChanged(
        event_id=uuid4(),
        occurred_at=START + timedelta(seconds=seconds),
        correlation_id=uuid4(),
        model="m",
        revision=1,
        change=ResourceChange.ALIAS_MOVED,
        alias="champion",
        version=version,
        actor="deployer",
    )


async def given_events(world: World, *events: Message) -> None:
    stamp = int(START.timestamp() * 1000)
    for offset, event in enumerate(events):
        record = Received(event.TOPIC, 0, world.count("events") + offset, "m", encode(event), (), stamp)
        await events_of(world).store([record])


async def given_rows(world: World, wrong: Sequence[bool], first: int = 0) -> None:
    """Predictions a second apart, and their labels."""
    rows = [prediction(first + i) for i in range(len(wrong))]
    labels = [label(first + i, "0" if one else "1") for i, one in enumerate(wrong)]
    await world.predictions.store(records(rows, first=first))
    await world.labels.store(records(labels, first=first))


def every(nth: int, rows: int) -> list[bool]:
    return [i % nth == 0 for i in range(rows)]


async def ask(world: World, **parameters: Any) -> list[dict[str, Any]]:
    async with client(world) as http:
        answer: httpx.Response = await http.get("/v1/models/m/alarms", params=parameters)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.fixture
async def failing(world: World) -> World:
    """Version 1 has an error rate of 0.1, then of 0.5 since row CHANGE; the alarm was raised at row ALARM."""
    await given_rows(world, [*every(10, CHANGE), *every(2, ALARM - CHANGE + 1)])
    await given_events(world, champion(1, -100.0), alarm())
    world.clock.advance(3_600.0)
    return world


async def test_an_open_alarm_names_its_version_its_reason_and_the_moment_of_the_change(failing: World) -> None:
    [found] = await ask(failing)
    assert (found["version"], found["subject"], found["state"]) == (1, "error_rate", "open")
    assert (found["reason"], found["recommendation"]) == ("the error rate rose", "retrain")
    change = np.datetime64(found["change_point"].rstrip("Z")) - np.datetime64(START.replace(tzinfo=None))
    assert abs(change / np.timedelta64(1, "s") - CHANGE) <= 10
    assert found["error_before"] == pytest.approx(0.1, abs=0.02)
    assert found["error_after"] == pytest.approx(0.5, abs=0.05)


async def test_an_alarm_is_recovered_when_the_errors_are_back(failing: World) -> None:
    await given_rows(failing, every(2, 199), first=ALARM + 1)
    assert [one["state"] for one in await ask(failing)] == ["open"]
    await given_rows(failing, every(10, 500), first=ALARM + 200)
    assert await ask(failing) == []
    [found] = await ask(failing, state="all")
    assert (found["state"], found["labels_now"]) == ("recovered", 500)


async def test_few_good_labels_do_not_close_an_alarm(failing: World) -> None:
    await given_rows(failing, every(200, 199), first=ALARM + 1)
    assert [one["state"] for one in await ask(failing)] == ["open"]


async def test_an_alarm_ends_with_the_reign_of_its_version(failing: World) -> None:
    await given_events(failing, champion(2, ALARM + 10.0))
    assert await ask(failing) == []
    assert [one["state"] for one in await ask(failing, state="all")] == ["replaced"]
    again = alarm(occurred_at=START + timedelta(seconds=ALARM + 20))
    await given_events(failing, again)
    assert [one["event_id"] for one in await ask(failing)] == [str(again.event_id)]


async def test_an_alarm_without_labels_expires(failing: World) -> None:
    failing.clock.advance(7 * 86_400.0 - 3_600.0)
    assert [one["state"] for one in await ask(failing)] == ["open"]
    failing.clock.advance(3_600.0)
    assert [one["state"] for one in await ask(failing, state="all")] == ["expired"]


async def test_repeated_events_are_one_alarm_since_the_first_of_them(failing: World) -> None:
    newest = alarm(occurred_at=START + timedelta(seconds=ALARM + 30))
    await given_events(failing, newest, newest, alarm(occurred_at=START - timedelta(days=8)))
    [found] = await ask(failing)
    assert found["event_id"] == str(newest.event_id)
    assert found["since"].startswith((START + timedelta(seconds=ALARM)).isoformat()[:19])


async def test_other_drift_and_other_versions_are_no_performance_alarms_of_a_version(failing: World) -> None:
    await given_events(failing, alarm(kind=DriftKind.SCORE, subject="score", model_version=2))
    assert [one["version"] for one in await ask(failing)] == [1]
    assert await ask(failing, version=2) == []


async def test_errors_that_were_high_from_the_first_label_have_no_change_point(world: World) -> None:
    await given_rows(world, every(2, ALARM))
    await given_events(world, alarm())
    [found] = await ask(world)
    assert (found["state"], found["change_point"]) == ("open", None)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("before", "after", "within"), [(0.1, 0.3, 60), (0.2, 0.5, 40)])
def test_the_change_is_found_near_its_place(seed: int, before: float, after: float, within: int) -> None:
    rng = np.random.default_rng(seed)
    errors = np.concatenate([rng.random(2_000) < before, rng.random(200) < after]).astype(float)
    found = rise_of(errors.tolist())
    assert found is not None
    assert abs(found.place - 2_000) <= within


def test_rows_without_a_change_seldom_show_one() -> None:
    rng = np.random.default_rng(3)
    found = [rise_of((rng.random(1_000) < 0.2).astype(float).tolist()) for _ in range(200)]
    assert sum(one is not None for one in found) <= 10


def test_a_fall_and_a_single_huge_error_are_no_rise() -> None:
    rng = np.random.default_rng(3)
    assert rise_of(np.concatenate([np.ones(200), np.zeros(200)]).tolist()) is None
    errors = np.abs(rng.normal(size=400))
    errors[390] = 1e9
    assert rise_of(errors.tolist()) is None
