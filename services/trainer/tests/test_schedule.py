"""Schedules: runs without a drift, after N labels or a time, once per interval."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest

from modelyard_contracts import ResourceChange, ResourceChanged, RunState
from modelyard_contracts.policies import RetrainPolicy
from modelyard_runtime.kafka import EventContext, Received
from modelyard_trainer.clients.label_counts import LabelsAway, StoredLabels
from modelyard_trainer.domain.run import Run
from modelyard_trainer.domain.schedule import SCHEDULE_TRIGGER, Turn
from modelyard_trainer.domain.states import Signal
from modelyard_trainer.events.handlers import handlers
from modelyard_trainer.runs.scheduler import Scheduler
from modelyard_trainer.store.schedules import ScheduleStore
from modelyard_trainer.usecases import follow_schedule, retrain_on_drift
from modelyard_trainer.worker.clickhouse import ClickHouseUnavailable

from .helpers.world import World, drift

MODEL = "shifts"
POLICY = RetrainPolicy(recipe="fake", cool_down_s=60, every_rows=1_000)


class Labels:
    """Arrivals of labels; `away` raises."""

    def __init__(self) -> None:
        self.arrived: list[datetime] = []
        self.away, self.counts = False, 0

    def since(self, moments: Mapping[str, datetime]) -> Mapping[str, int]:
        if self.away:
            raise LabelsAway("labels cannot be counted")
        self.counts += len(moments)
        return {model: sum(at > moment for at in self.arrived) for model, moment in moments.items()}


class Scheduled:
    """A trainer that follows the schedules of its models; `restart` is a new process on the same disk."""

    def __init__(self, world: World) -> None:
        self.world, self.labels = world, Labels()
        self.restart()

    def restart(self) -> None:
        self.world.restart()
        self.schedules = ScheduleStore(self.world.database)
        self.scheduler = Scheduler(self.world.deps, self.schedules, self.labels)

    def policy(self, policy: RetrainPolicy = POLICY) -> None:
        self.world.client.set_policy(MODEL, policy)
        follow_schedule(self.world.deps, self.schedules, MODEL)

    def arrive(self, labels: int, over_s: float = 10.0) -> None:
        """Labels that arrive evenly over a time, which passes; the scheduler works meanwhile."""
        for _ in range(10):
            self.world.clock.advance(over_s / 10)
            self.labels.arrived += [self.world.clock()] * (labels // 10)
            self.scheduler.tick()

    def runs(self) -> list[Run]:
        return [run for run in self.world.runs.list(MODEL, 100) if run.trigger == SCHEDULE_TRIGGER]

    def end(self, run: Run) -> None:
        """End a run, as a supervisor would."""
        with self.world.runs.session() as session:
            session.save(run.moved(Signal.FAILED, at=self.world.clock()), self.world.clock())


@pytest.fixture
def scheduled(tmp_path: Path, database_url: str) -> Iterator[Scheduled]:
    """On SQLite and on PostgreSQL."""
    world = World(tmp_path / "trainer", database_url)
    yield Scheduled(world)
    world.close()


def test_a_run_starts_after_as_many_labels_as_the_policy_names(scheduled: Scheduled) -> None:
    scheduled.policy()
    scheduled.arrive(900)
    assert not scheduled.runs()
    scheduled.arrive(100)
    [run] = scheduled.runs()
    assert (run.state, run.requested_by, run.recipe) == (RunState.REQUESTED, "schedule", "fake")
    assert run.why == "1000 labels have arrived since the schedule began; the schedule is every 1000"
    assert [event.trigger for event in scheduled.world.published()] == [SCHEDULE_TRIGGER]


def test_a_run_starts_after_the_time_that_the_policy_names(scheduled: Scheduled) -> None:
    scheduled.policy(RetrainPolicy(recipe="fake", cool_down_s=60, every_s=3_600))
    scheduled.arrive(0, over_s=3_500)
    assert not scheduled.runs()
    scheduled.arrive(0, over_s=100)
    [run] = scheduled.runs()
    assert run.why == "3600 s have passed since the schedule began; the schedule is every 3600 s"
    assert not scheduled.labels.counts, "labels are not counted for a schedule of a time"


def test_a_run_starts_when_a_short_history_has_grown(scheduled: Scheduled) -> None:
    scheduled.policy(RetrainPolicy(recipe="fake", cool_down_s=60, growth=2, window_rows=1_500))
    scheduled.arrive(1_000)
    assert not scheduled.runs(), "without a run, nothing says how many rows were learned from"
    first = retrain_on_drift(scheduled.world.deps, drift(scheduled.world))
    assert first is not None
    _learned(scheduled, first, rows=800)
    scheduled.arrive(700, over_s=100)
    assert not scheduled.runs()
    scheduled.arrive(100)
    scheduled.arrive(0)
    [run] = scheduled.runs()
    assert run.why.startswith(f"800 labels have arrived since run {first.id} was created; that is enough more rows")
    _learned(scheduled, run, rows=1_500)
    scheduled.arrive(9_000, over_s=1_000)
    assert len(scheduled.runs()) == 1, "it has the most rows that a run learns from"


def _learned(scheduled: Scheduled, run: Run, *, rows: int) -> None:
    with scheduled.world.runs.session() as session:
        found = session.get(run.id)
        assert found is not None
        session.save(found.moved(Signal.FAILED, at=scheduled.world.clock(), rows=rows), scheduled.world.clock())


@pytest.mark.parametrize(
    ("windows", "learned", "grown_at"),
    [(("recent",), 1_000, 500), (("recent",), 1_500, None), (("recent", "all"), 1_500, 750), (("all",), None, None)],
)
def test_growth_ends_where_a_run_learns_from_no_more_rows(
    scheduled: Scheduled, windows: tuple[Any, ...], learned: int | None, grown_at: int | None
) -> None:
    scheduled.policy(RetrainPolicy(recipe="fake", growth=1.5, window_rows=1_500, history_rows=5_000, windows=windows))
    run = retrain_on_drift(scheduled.world.deps, drift(scheduled.world))
    assert run is not None
    [schedule] = scheduled.schedules.all()
    turn = Turn(schedule, run.model_copy(update={"rows": learned}))
    now = scheduled.world.clock()
    assert turn.counts_labels == (grown_at is not None)
    assert turn.due(now, (grown_at or 1) - 1, lambda at: at) == ""
    assert bool(turn.due(now, grown_at or 99_999, lambda at: at)) == (grown_at is not None)


def test_any_run_begins_the_count_anew(scheduled: Scheduled) -> None:
    scheduled.policy()
    scheduled.arrive(900)
    alarm = retrain_on_drift(scheduled.world.deps, drift(scheduled.world))
    assert alarm is not None
    scheduled.arrive(100, over_s=100)
    scheduled.end(scheduled.world.runs.get(alarm.id))
    scheduled.arrive(800, over_s=100)
    assert not scheduled.runs()
    scheduled.arrive(100)
    scheduled.arrive(0)
    [run] = scheduled.runs()
    assert run.why.startswith(f"1000 labels have arrived since run {alarm.id} was created")


def test_the_same_wait_never_has_two_runs_also_after_a_kill(scheduled: Scheduled) -> None:
    scheduled.policy()
    scheduled.arrive(1_000)
    [run] = scheduled.runs()
    other = Scheduler(scheduled.world.deps, scheduled.schedules, scheduled.labels)  # a second trainer
    other.tick()
    scheduled.restart()
    scheduled.arrive(1_000)
    assert [one.id for one in scheduled.runs()] == [run.id], "while it is open"
    scheduled.end(scheduled.world.runs.get(run.id))
    scheduled.restart()
    scheduled.arrive(0, over_s=61)
    assert len(scheduled.runs()) == 2, "the labels since the first run are enough for the next one"


def test_a_scheduled_run_waits_for_an_open_run_and_for_the_cool_down(scheduled: Scheduled) -> None:
    scheduled.policy()
    alarm = retrain_on_drift(scheduled.world.deps, drift(scheduled.world))
    assert alarm is not None
    scheduled.arrive(2_000, over_s=100)
    assert not scheduled.runs()
    scheduled.end(scheduled.world.runs.get(alarm.id))
    scheduled.arrive(0, over_s=59)
    assert not scheduled.runs()
    counts = scheduled.labels.counts
    scheduled.arrive(0, over_s=10)
    assert len(scheduled.runs()) == 1
    assert scheduled.labels.counts <= counts + 10


def test_a_spent_budget_is_named_once_and_the_run_follows_when_it_is_free(scheduled: Scheduled) -> None:
    scheduled.policy(POLICY.model_copy(update={"max_runs_per_day": 1, "cool_down_s": 3_600.0}))
    first = retrain_on_drift(scheduled.world.deps, drift(scheduled.world))
    assert first is not None
    scheduled.end(scheduled.world.runs.get(first.id))
    scheduled.arrive(2_000, over_s=3_700)
    scheduled.arrive(0, over_s=3_000)
    [refused] = scheduled.runs()
    assert (refused.state, refused.refusal) == (RunState.REFUSED, "budget")
    scheduled.arrive(0, over_s=86_400)
    assert RunState.REQUESTED in {run.state for run in scheduled.runs()}


def test_while_labels_cannot_be_counted_nothing_is_lost_and_schedules_of_a_time_go_on(scheduled: Scheduled) -> None:
    scheduled.policy(POLICY.model_copy(update={"every_s": 500.0}))
    scheduled.labels.away = True
    scheduled.arrive(1_000, over_s=100)
    assert not scheduled.runs()
    scheduled.labels.away = False
    scheduled.arrive(0, over_s=10)
    [run] = scheduled.runs()
    scheduled.end(scheduled.world.runs.get(run.id))
    scheduled.labels.away = True
    scheduled.arrive(0, over_s=600)
    assert len(scheduled.runs()) == 2


def test_while_the_registry_is_away_a_due_run_waits(scheduled: Scheduled) -> None:
    scheduled.policy()
    with scheduled.world.registry.unavailable():
        scheduled.arrive(1_000)
        assert not scheduled.runs()
    scheduled.arrive(0)
    assert len(scheduled.runs()) == 1


@pytest.mark.parametrize("changed", [{"every_rows": None}, {"enabled": False}])
def test_a_policy_without_a_schedule_ends_it(scheduled: Scheduled, changed: dict[str, Any]) -> None:
    scheduled.policy()
    scheduled.world.client.set_policy(MODEL, POLICY.model_copy(update=changed))  # the event has not arrived yet
    scheduled.arrive(1_000)
    assert not scheduled.runs() and not scheduled.schedules.all()


def test_the_event_of_a_changed_policy_starts_the_schedule_and_keeps_its_beginning(scheduled: Scheduled) -> None:
    world = scheduled.world
    deps = replace(world.deps, schedules=scheduled.schedules)
    event = ResourceChanged(
        event_id=uuid4(),
        occurred_at=world.clock(),
        correlation_id=uuid4(),
        model=MODEL,
        revision=2,
        change=ResourceChange.POLICY_CHANGED,
        policy="retrain",
        actor="a",
    )
    context = EventContext(Received(event.TOPIC, 0, 0, MODEL, b"", (), 0), event.correlation_id)
    began = world.clock()
    for every in (1_000, 2_000):
        world.client.set_policy(MODEL, POLICY.model_copy(update={"every_rows": every}))
        handlers(deps)[ResourceChanged](event, context)
        world.clock.advance(50)
    [schedule] = scheduled.schedules.all()
    assert (schedule.every_rows, schedule.since) == (2_000, began)


def test_labels_are_counted_less_and_less_often_during_a_long_wait(scheduled: Scheduled) -> None:
    scheduled.policy()
    for _ in range(600):
        scheduled.world.clock.advance(6)
        scheduled.scheduler.tick()
    assert scheduled.labels.counts < 400
    at = scheduled.world.clock()
    scheduled.labels.arrived += [at] * 1_000
    while not scheduled.runs():
        scheduled.world.clock.advance(1)
        scheduled.scheduler.tick()
    assert scheduled.world.clock() - at <= timedelta(seconds=3_600 * 0.02)


def test_an_error_of_one_model_does_not_keep_another_from_its_run(scheduled: Scheduled) -> None:
    world = scheduled.world
    world.given_model("another", POLICY)
    follow_schedule(world.deps, scheduled.schedules, "another")
    scheduled.policy()
    world.client.set_policy("another", POLICY.model_copy(update={"recipe": "magic"}))
    scheduled.arrive(1_000)
    assert len(scheduled.runs()) == 1
    [other] = world.runs.list("another", 10)
    assert other.state is RunState.REFUSED and "'magic' is unknown" in other.reason


def test_an_unavailable_clickhouse_is_retryable() -> None:
    def query(sql: str, parameters: dict[str, Any]) -> pa.Table:
        raise ClickHouseUnavailable("no answer")

    with pytest.raises(LabelsAway, match="no answer"):
        StoredLabels(query).since({MODEL: datetime(2026, 1, 1)})
    assert StoredLabels(query).since({}) == {}
