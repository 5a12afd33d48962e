"""Comparisons that stay open: looked at again as labels arrive, until they decide or a limit is reached."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from modelyard_contracts import Verdict
from modelyard_contracts.policies import RolloutPolicy
from modelyard_evaluator.domain.errors import Unreachable
from modelyard_evaluator.domain.evaluation import Evaluation, OpenAlarm, RowSource, Stage

from .conftest import DAY, MODEL, World
from .test_api import DEVELOPER, app_of
from .test_crashes import DyingStorage, Killed
from .test_evaluations import beats

UNDECIDED = {"difference": 0.0, "low": -0.03, "high": 0.03}
HOUR_S = 3_600.0


def is_open(world: World) -> World:
    """One comparison that the first look at 1,000 rows has not decided."""
    world.set_gate(min_rows=300, max_open_s=24 * HOUR_S, max_open_rows=5_000)
    world.scorer.result = UNDECIDED
    world.deliver(world.registered(2))
    world.work()
    return world


@pytest.fixture
def waiting(world: World) -> Iterator[World]:
    yield is_open(world)


def arrive(world: World, rows: int) -> None:
    """Set the number of labelled rows and let the evaluator count them."""
    world.labels.rows = world.scorer.pinned_rows = rows
    world.work(60.0)


def the(world: World) -> Evaluation:
    [evaluation] = world.evaluations()
    return evaluation


def looks(world: World) -> list[dict[str, Any]]:
    return [job for job in world.scorer.jobs if "as_of" in job]


def test_an_undecided_comparison_stays_open_without_a_verdict(waiting: World) -> None:
    assert (the(waiting).stage, the(waiting).looks) == (Stage.WAITING, 1)
    assert waiting.verdicts() == []
    assert the(waiting).note == (
        "look 1 has not decided: No gain above 0 over version 1 is shown: at 95% confidence the gain in accuracy lies "
        "between -0.0300 and +0.0300. The next look is at 1100 labelled rows, the last one at 2026-02-11 00:00:01 UTC."
    )


def test_it_is_looked_at_again_after_so_many_further_rows_and_decides_once(waiting: World) -> None:
    arrive(waiting, 1_099)
    assert len(looks(waiting)) == 1
    waiting.scorer.result = {}
    arrive(waiting, 1_100)
    [verdict] = waiting.verdicts()
    assert (verdict.verdict, len(looks(waiting))) == (Verdict.DEPLOY, 2)
    arrive(waiting, 3_000)
    assert (len(waiting.verdicts()), len(looks(waiting))) == (1, 2)


def test_a_clearly_worse_challenger_is_rejected_by_a_later_look(waiting: World) -> None:
    waiting.scorer.result = {"low": -0.09, "high": -0.01}
    arrive(waiting, 1_200)
    assert [verdict.verdict for verdict in waiting.verdicts()] == [Verdict.REJECT]


def test_later_looks_add_rows_to_those_of_the_first_one(world: World) -> None:
    world.scorer.pinned_rows = 2_000
    is_open(world)
    arrive(world, 2_300)
    first, second = looks(world)
    assert (first["limit"], first["newest"]) == (2_000, True)
    assert (second["limit"], second["newest"]) == (5_000, False)
    assert datetime.fromisoformat(second["since"]) == datetime.fromisoformat(first["since"]) - timedelta(microseconds=1)


def test_rows_before_the_first_ones_count_where_the_first_look_had_room_for_them(waiting: World) -> None:
    arrive(waiting, 1_200)
    first, second = looks(waiting)
    assert second["since"] == first["since"]


@pytest.mark.parametrize("sequential", [True, False])
def test_the_interval_holds_over_all_looks_only_where_there_may_be_several(world: World, sequential: bool) -> None:
    world.set_gate(min_rows=300, max_open_s=HOUR_S if sequential else 0.0)
    world.deliver(world.registered(2))
    world.work()
    assert [job["sequential"] for job in world.scorer.jobs if "metric" in job] == [sequential]


def test_without_further_looks_no_gain_is_no_gain(world: World) -> None:
    world.scorer.result = UNDECIDED
    world.deliver(world.registered(2))
    world.work()
    assert [verdict.verdict for verdict in world.verdicts()] == [Verdict.CONTINUE_TUNING]


def test_held_out_rows_and_votes_are_looked_at_once(world: World) -> None:
    world.labels.rows = 0
    is_open(world)
    assert (the(world).source, [verdict.verdict for verdict in world.verdicts()]) == (
        RowSource.DATASET,
        [Verdict.CONTINUE_TUNING],
    )
    world.client.set_policy(MODEL, RolloutPolicy(strategy="adaptive"))
    world.labels.rows = 1_000
    world.deliver(world.registered(3))
    world.work()
    assert not any(job.get("sequential") for job in world.scorer.jobs)


def test_at_the_limit_of_rows_it_is_inconclusive(waiting: World) -> None:
    arrive(waiting, 5_000)
    [verdict] = waiting.verdicts()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert verdict.reasons[0] == "No decision until 5000 rows, after 2 looks at the rows."
    assert "between -0.0300 and +0.0300" in verdict.reasons[1]
    assert verdict.dataset_digest is not None


def test_labels_that_stay_away_end_it_at_the_deadline(waiting: World) -> None:
    waiting.work(24 * HOUR_S - 60.0)
    assert waiting.verdicts() == []
    waiting.work(120.0)
    [verdict] = waiting.verdicts()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert verdict.reasons[0] == "No decision until the limit of 86400 s, after 2 looks at the rows."


def test_an_evaluator_that_was_away_past_the_deadline_looks_for_the_last_time(waiting: World) -> None:
    waiting.scorer.result = {}
    waiting.clock.advance(30 * 24 * HOUR_S)
    waiting.work()
    assert [verdict.verdict for verdict in waiting.verdicts()] == [Verdict.DEPLOY]


def test_labels_of_the_future_do_not_lead_to_look_after_look(waiting: World) -> None:
    waiting.labels.rows = 1_500  # counted, but not received by the moment of the look
    for _ in range(10):
        waiting.work(60.0)
    assert len(looks(waiting)) == 2


def test_only_the_rows_of_the_last_look_become_a_dataset(waiting: World) -> None:
    assert the(waiting).dataset_digest is None
    waiting.scorer.result = {}
    arrive(waiting, 1_200)
    digest = the(waiting).dataset_digest
    assert digest is not None
    assert waiting.client.dataset(digest).rows == 1_200


def test_an_outage_of_minutes_does_not_end_an_open_comparison(waiting: World) -> None:
    with waiting.registry.unavailable():
        for _ in range(40):
            waiting.work(31.0)
    assert waiting.verdicts() == []
    waiting.scorer.result = {}
    arrive(waiting, 1_200)
    assert [verdict.verdict for verdict in waiting.verdicts()] == [Verdict.DEPLOY]


def test_an_outage_past_the_deadline_ends_it(waiting: World) -> None:
    with waiting.registry.unavailable():
        waiting.clock.advance(24 * HOUR_S)
        for _ in range(25):
            waiting.work(31.0)
    assert [verdict.verdict for verdict in waiting.verdicts()] == [Verdict.INCONCLUSIVE]


def test_another_champion_starts_it_again_but_not_its_time(waiting: World) -> None:
    waiting.given_version(4)
    waiting.promote(4)
    arrive(waiting, 1_100)
    assert (the(waiting).looks, the(waiting).champion_name) == (1, "version 4")
    waiting.work(24 * HOUR_S)
    [verdict] = waiting.verdicts()
    assert (verdict.verdict, verdict.champion_version) == (Verdict.INCONCLUSIVE, 4)


def test_an_alarm_that_opens_or_closes_while_it_is_open_changes_the_standard(waiting: World) -> None:
    waiting.scorer.result = {"low": -0.01, "high": 0.01}
    waiting.alarms.alarm = OpenAlarm("error_rate", DAY, None)
    arrive(waiting, 1_100)
    assert [verdict.verdict for verdict in waiting.verdicts()] == [Verdict.DEPLOY]


def test_an_alarm_that_closes_while_it_is_open_asks_for_a_gain_again(world: World) -> None:
    world.alarms.alarm = OpenAlarm("error_rate", DAY, None)
    is_open(world)
    assert the(world).policy.standard == "not_worse"
    world.alarms.alarm, world.scorer.result = None, {"low": -0.01, "high": 0.01}
    arrive(world, 1_100)
    assert (the(world).policy.standard, world.verdicts()) == ("better", [])


def test_a_monitor_that_goes_away_leaves_the_alarm_as_it_was(world: World) -> None:
    world.alarms.alarm = OpenAlarm("error_rate", DAY, None)
    is_open(world)
    world.alarms.error, world.scorer.result = Unreachable("timed out"), {"low": -0.01, "high": 0.01}
    arrive(world, 1_100)
    assert [verdict.verdict for verdict in world.verdicts()] == [Verdict.DEPLOY]


def test_a_version_that_a_person_decides_about_ends_its_comparison(waiting: World) -> None:
    waiting.client.approve(MODEL, 2, "known to be good")
    waiting.work(60.0)
    assert [verdict.verdict for verdict in waiting.verdicts()] == [Verdict.INCONCLUSIVE]
    assert len(looks(waiting)) == 1


def test_an_earlier_version_that_wins_ends_an_open_comparison(world: World) -> None:
    world.promote(2)
    world.set_gate(min_rows=300, max_open_s=HOUR_S)
    world.scorer.results = {("champion", "challenger"): UNDECIDED, ("champion", "version-1"): beats(0.06)}
    world.deliver(world.registered(3))
    world.work()
    assert [verdict.verdict for verdict in world.verdicts()] == [Verdict.CONTINUE_TUNING]
    assert [request.version for request in world.rollout_requests()] == [1]


def test_the_oldest_open_comparison_makes_way_when_there_are_too_many(world: World) -> None:
    world.set_gate(min_rows=300, max_open_s=HOUR_S, max_open_comparisons=1)
    world.scorer.result = UNDECIDED
    for version in (2, 3):
        world.deliver(world.registered(version))
        world.work(5.0)
    world.work(10.0)
    [verdict] = world.verdicts()
    assert (verdict.challenger_version, verdict.verdict) == (2, Verdict.INCONCLUSIVE)
    assert verdict.reasons[0] == "No decision yet: it makes way for newer comparisons of the model (1 may be open)."
    assert [one.challenger_version for one in world.evaluations() if not one.done] == [3]


def test_a_repeated_event_neither_starts_a_second_comparison_nor_a_look(world: World) -> None:
    event = world.registered(2)
    world.set_gate(min_rows=300, max_open_s=HOUR_S)
    world.scorer.result = UNDECIDED
    for _ in range(3):
        world.deliver(event)
        world.work(5.0)
    assert (len(world.evaluations()), len(looks(world))) == (1, 1)


def test_the_current_interval_can_be_read_while_it_is_open(waiting: World) -> None:
    with TestClient(app_of(waiting), headers=DEVELOPER) as http:
        [shown] = http.get("/v1/evaluations").json()["items"]
        assert (shown["stage"], shown["verdict"], shown["looks"]) == ("waiting", None, 1)
        assert shown["current"]["comparison"]["low"] == -0.03
        assert shown["current"]["window"]["rows"] == 1_000
        assert shown["open_until"] == "2026-02-11T00:00:01Z"
        waiting.scorer.result = {}
        arrive(waiting, 1_200)
        [shown] = http.get("/v1/evaluations").json()["items"]
        assert (shown["verdict"], shown["current"], shown["open_until"]) == ("deploy", None, None)


@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
@pytest.mark.parametrize("commits", range(6))
def test_killed_at_any_commit_between_looks_it_reaches_one_verdict(tmp_path: Path, commits: int, after: bool) -> None:
    with World(tmp_path, f"sqlite:///{tmp_path}/evaluator.db") as world:
        living = world.deps
        world.deps = replace(living, storage=DyingStorage(living.storage, commits, after=after))
        with suppress(Killed):
            is_open(world)
            world.scorer.result = {}
            arrive(world, 1_100)
        world.deps = living
        world.scorer.result = {}
        world.deliver(world.registered(2)) if not world.evaluations() else None
        arrive(world, 1_100)
        arrive(world, 1_100)
        assert [verdict.verdict for verdict in world.verdicts()] == [Verdict.DEPLOY]


def test_killed_while_it_looks_again_it_pins_the_same_rows(waiting: World) -> None:
    waiting.scorer.error = Killed()
    with suppress(Killed):
        arrive(waiting, 1_100)
    waiting.scorer.error, waiting.scorer.result = None, {}
    arrive(waiting, 1_400)
    _, second, third = looks(waiting)
    assert second == third
    assert len(waiting.verdicts()) == 1
