"""The list of timelines: newest first, with how far each has come."""

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from modelyard_contracts import (
    ControlMessage,
    EvaluationFinished,
    ResourceChange,
    ResourceChanged,
    RolloutChanged,
    RolloutState,
    RolloutStrategy,
    RunState,
    TrainingRunChanged,
    Verdict,
    VersionStage,
)
from modelyard_contracts.codec import encode
from modelyard_monitor.domain.alert_list import AlertScope
from modelyard_monitor.domain.timelines import Outcome, TimelineScope, outcome_of
from modelyard_monitor.store.alert_queries import NEWEST_SQL as NEWEST_ALERTS_SQL
from modelyard_monitor.store.alert_queries import AlertQueries
from modelyard_monitor.store.clickhouse import ClickHouse
from modelyard_monitor.store.parameters import FIRST, LAST, workspaces_given
from modelyard_monitor.store.timeline_queries import NEWEST_SQL, TIMELINES_SQL, TimelineQueries
from modelyard_monitor.store.windows import WINDOWS_S
from modelyard_monitor.testing.samples import START
from modelyard_runtime.kafka import Received

from .test_api import drift, events_of
from .test_lookups import ask, items
from .world import World


async def given(world: World, *events: ControlMessage, apart: timedelta = timedelta(seconds=1)) -> None:
    """Store events a second apart, in this order."""
    for place, event in enumerate(events):
        at = event.model_copy(update={"occurred_at": START + place * apart})
        body = encode(at)
        await events_of(world).store([Received(at.TOPIC, 0, place, at.key, body, (), int(START.timestamp() * 1000))])


def run(timeline: UUID, state: RunState, **fields: object) -> TrainingRunChanged:
    known = {"event_id": uuid4(), "occurred_at": START, "correlation_id": timeline, "model": "m", "run_id": RUN}
    more = {"revision": 1, "state": state, "recipe": "gbt", "trigger": "feature", "reason": "drift"}
    return TrainingRunChanged.model_validate({**known, **more, **fields})


def moved(timeline: UUID, stage: VersionStage) -> ResourceChanged:
    known = {"event_id": uuid4(), "occurred_at": START, "correlation_id": timeline, "model": "m", "name": "m"}
    change = {"change": ResourceChange.VERSION_MOVED, "revision": 1, "version": 2, "stage": stage, "actor": "anna"}
    return ResourceChanged.model_validate({**known, **change, "reason": "better"})


def evaluated(timeline: UUID, verdict: Verdict) -> EvaluationFinished:
    known = {"event_id": uuid4(), "occurred_at": START, "correlation_id": timeline, "model": "m"}
    found = {
        "evaluation_id": EVALUATION,
        "challenger_version": 2,
        "challenger_digest": "d",
        "verdict": verdict,
        "reasons": ("better",),
    }
    return EvaluationFinished.model_validate({**known, **found, "metric": "accuracy", "rows": 10, "test": "none"})


def rollout(timeline: UUID, state: RolloutState) -> RolloutChanged:
    known = {"event_id": uuid4(), "occurred_at": START, "correlation_id": timeline, "model": "m", "route": "m"}
    found = {"rollout_id": ROLLOUT, "revision": 1, "strategy": RolloutStrategy.CANARY, "state": state, "to_version": 2}
    return RolloutChanged.model_validate({**known, **found})


RUN, EVALUATION, ROLLOUT = uuid4(), uuid4(), uuid4()
OFFSETS = "SELECT _offset FROM {db}.events WHERE event_id IN {ids:Array(String)} ORDER BY _offset"


async def test_a_timeline_is_one_row_with_its_first_event_and_how_far_it_has_come(world: World) -> None:
    loop, alarm = uuid4(), drift(reason="amount moved")
    began = alarm.model_copy(update={"correlation_id": loop})
    await given(
        world,
        began,
        run(loop, RunState.REQUESTED),
        run(loop, RunState.SUCCEEDED, version=2),
        evaluated(loop, Verdict.DEPLOY),
        moved(loop, VersionStage.APPROVED),
        rollout(loop, RolloutState.SHIFTING),
        rollout(loop, RolloutState.PROMOTED),
        drift(correlation_id=uuid4(), reason="another"),
    )
    other, found = await items(world, "/v1/timelines")
    assert (other["events"], other["outcome"], other["run_id"]) == (1, "recorded", None)
    assert (found["correlation_id"], found["events"], found["model"]) == (str(loop), 7, "m")
    assert (found["first_event_id"], found["first_summary"]) == (str(began.event_id), "amount moved")
    assert (found["run_id"], found["run_state"], found["version"]) == (str(RUN), "succeeded", 2)
    assert (found["evaluation_id"], found["verdict"]) == (str(EVALUATION), "deploy")
    assert (found["rollout_id"], found["rollout_state"], found["outcome"]) == (str(ROLLOUT), "promoted", "promoted")
    assert found["started_at"] < found["last_at"]


async def test_pages_of_timelines_follow_one_another_and_filters_hold(world: World) -> None:
    here = [drift(correlation_id=uuid4()) for _ in range(3)]
    there = drift(model="acme:m", correlation_id=uuid4())
    await given(world, *here, there)
    first = (await ask(world, "/v1/timelines", limit=2)).json()
    rest = (await ask(world, "/v1/timelines", limit=2, after=first["next_after"])).json()
    read = [one["correlation_id"] for one in first["items"] + rest["items"]]
    assert read == [str(one.correlation_id) for one in (there, *reversed(here))]
    assert rest["next_after"] is None
    assert len(await items(world, "/v1/timelines", model="m")) == 3
    since = (START + timedelta(seconds=2)).isoformat()
    assert len(await items(world, "/v1/timelines", since=since)) == 2
    assert [one["model"] for one in await items(world, "/v1/timelines", "viewer@acme")] == ["acme:m"]
    assert (await ask(world, "/v1/timelines", "none")).status_code == 403
    assert (await ask(world, "/v1/timelines", after="x")).json()["field"] == "after"


async def test_the_start_decides_the_order_also_of_timelines_with_new_events(world: World) -> None:
    """The newest hour of events is read first; older timelines with events in it are not the newest."""
    ids = [uuid4() for _ in range(4)]
    newest, middle, long, oldest = map(str, ids)
    places = (ids[0], ids[2], ids[3], ids[1], ids[2], ids[3])  # every 20 minutes, the newest first
    await given(world, *(drift(correlation_id=one) for one in places), apart=timedelta(minutes=-20))

    async def read(**query: str) -> list[str]:
        return [one["correlation_id"] for one in await items(world, "/v1/timelines", **query)]

    assert await read() == [newest, middle, long, oldest]
    assert await read(since=(START - timedelta(minutes=90)).isoformat()) == [newest, middle, long]
    assert await read(since=(START - timedelta(minutes=70)).isoformat(), limit="2") == [newest, middle]
    pages, after = list[str](), ""
    while after is not None:
        page = (await ask(world, "/v1/timelines", limit=1, **({"after": after} if after else {}))).json()
        pages, after = pages + [one["correlation_id"] for one in page["items"]], page["next_after"]
    assert pages == [newest, middle, long, oldest]
    assert [one["events"] for one in await items(world, "/v1/timelines")] == [1, 1, 2, 2]


def test_lists_of_timelines_and_alarms_read_the_rows_of_their_hour_and_of_their_page(clickhouse: ClickHouse) -> None:
    """Not all that are stored: 100,000 events of as many timelines are 98 granules."""
    clickhouse.rows(
        "INSERT INTO {db}.events (event_id, topic, occurred_at, recorded_at, correlation_id, model, payload, _offset) "
        "SELECT toString(generateUUIDv4()), 'monitoring.drift.detected.v1', now64(6) - toIntervalSecond(number * 10) "
        "AS at, at, toString(generateUUIDv4()), concat('m', toString(number % 500)), '{}', number FROM numbers(100000)"
    )
    assert len(TimelineQueries(clickhouse).newest(TimelineScope(), 51)) == 51
    alarms = AlertQueries(clickhouse).newest(AlertScope(), 51)
    assert [row["_offset"] for row in clickhouse.rows(OFFSETS, {"ids": [row["event_id"] for row in alarms]})] == [
        *range(51)
    ]
    known = {"model": "", "since": FIRST, "until": LAST, "id": "", "started": 0, "limit": 51, "window_s": WINDOWS_S[0]}
    scopes = {"kind": "", "severity": "", **workspaces_given(None)}
    for sql, projection, most in (
        (NEWEST_SQL, "by_time", 3),
        (TIMELINES_SQL, "by_correlation", 52),
        (NEWEST_ALERTS_SQL, "by_time", 3),
    ):
        given = {**known, **scopes}
        plan = [row["explain"] for row in clickhouse.rows(f"EXPLAIN indexes = 1 {sql}", given)]
        assert any(f"ReadFromMergeTree ({projection})" in line for line in plan), plan
        [read] = clickhouse.rows(f"EXPLAIN ESTIMATE {sql}", given)
        assert read["marks"] <= most


async def test_a_long_timeline_has_its_first_event_and_all_steps(world: World) -> None:
    """Its first event is weeks older than the other timelines that its page and the pages before it show."""
    loop = uuid4()
    first = drift(reason="amount moved").model_copy(update={"correlation_id": loop})
    alarms = [drift(correlation_id=uuid4()) for _ in range(3)]
    steps = [run(loop, RunState.REQUESTED), rollout(loop, RolloutState.PROMOTED)]
    await given(world, first, *alarms[:2], steps[0], alarms[2], steps[1], apart=timedelta(days=10))
    page = (await ask(world, "/v1/timelines", limit=1)).json()
    then = (await ask(world, "/v1/timelines", limit=2, after=page["next_after"])).json()
    last = (await ask(world, "/v1/timelines", limit=2, after=then["next_after"])).json()
    found = [*page["items"], *then["items"], *last["items"]]
    assert [one["correlation_id"] for one in found] == [*(str(one.correlation_id) for one in alarms[::-1]), str(loop)]
    assert (found[3]["first_event_id"], found[3]["first_summary"]) == (str(first.event_id), "amount moved")
    assert (found[3]["events"], found[3]["run_state"], found[3]["outcome"]) == (3, "requested", "promoted")


async def test_a_timeline_of_two_workspaces_has_only_the_events_that_may_be_read(world: World) -> None:
    shared = uuid4()
    here, there = drift(correlation_id=shared), drift(model="acme:m", correlation_id=shared)
    await given(world, there, here, drift(correlation_id=shared))
    [every] = await items(world, "/v1/timelines")
    assert (every["events"], every["model"]) == (3, "acme:m")
    [read] = await items(world, "/v1/timelines", "viewer@default")
    assert (read["events"], read["model"], read["first_event_id"]) == (2, "m", str(here.event_id))
    [one] = await items(world, "/v1/timelines", model="m")
    assert (one["events"], one["first_event_id"]) == (2, str(here.event_id))


async def test_timelines_of_refused_runs_are_left_out_where_only_started_ones_are_asked_for(world: World) -> None:
    refused, began = uuid4(), uuid4()
    steps = [run(began, RunState.REQUESTED), run(began, RunState.SNAPSHOTTING)]
    await given(world, drift(correlation_id=uuid4()), run(refused, RunState.REFUSED), *steps)
    assert len(await items(world, "/v1/timelines")) == 3
    assert [one["correlation_id"] for one in await items(world, "/v1/timelines", started=True)] == [str(began)]


async def test_an_event_is_read_by_its_id_by_those_who_may_read_its_model(world: World) -> None:
    event = drift(model="acme:m")
    await given(world, event)
    found = (await ask(world, f"/v1/events/{event.event_id}")).json()
    assert (found["event_id"], found["payload"]["reason"]) == (str(event.event_id), "it moved")
    assert (await ask(world, f"/v1/events/{event.event_id}", "viewer@default")).status_code == 404
    assert (await ask(world, f"/v1/events/{uuid4()}")).json()["field"] == "event_id"


@pytest.mark.parametrize(
    ("run_state", "verdict", "stage", "rollout_state", "expected"),
    [
        (None, None, None, None, Outcome.RECORDED),
        ("training", None, None, None, Outcome.TRAINING),
        ("refused", None, None, None, Outcome.REFUSED),
        ("succeeded", None, "registered", None, Outcome.EVALUATING),
        ("succeeded", "continue_tuning", "rejected", None, Outcome.REJECTED),
        ("succeeded", "inconclusive", "registered", None, Outcome.INCONCLUSIVE),
        ("succeeded", "deploy", "evaluated", None, Outcome.WAITING),
        ("succeeded", "deploy", "approved", "holding", Outcome.ROLLING_OUT),
        ("succeeded", "deploy", "rejected", "aborted", Outcome.ABORTED),
    ],
)
def test_the_latest_step_decides_how_far_a_timeline_has_come(
    run_state: str | None, verdict: str | None, stage: str | None, rollout_state: str | None, expected: Outcome
) -> None:
    assert outcome_of(run_state, verdict, stage, rollout_state) is expected
