"""The standard of the gate: what a challenger must show while the champion is failing, and on which rows."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from modelyard import MonitorClient
from modelyard_contracts import Verdict, VersionStage
from modelyard_contracts.policies import GatePolicy
from modelyard_evaluator.clients.monitor import HttpAlarms
from modelyard_evaluator.domain.errors import Unreachable
from modelyard_evaluator.domain.evaluation import OpenAlarm, Stage

from .conftest import DAY, MODEL, World
from .test_evaluations import beats, requested

SINCE, CHANGE = DAY + timedelta(days=38), DAY + timedelta(days=37, hours=12)
NOT_WORSE = {"difference": 0.0, "low": -0.015, "high": 0.015}
"""No gain, but no loss of the margin of 0.02 either."""


@pytest.fixture
def failing(world: World) -> World:
    """The champion has an open alarm; its errors rose on day 37."""
    world.alarms.alarm = OpenAlarm("error_rate", SINCE, CHANGE)
    return world


def evaluate(world: World, version: int = 2, seconds: float = 0.0) -> Any:
    world.deliver(world.registered(version))
    world.work(seconds)
    return world.verdicts()[-1]


def test_a_challenger_that_is_not_worse_takes_the_place_of_a_failing_champion(failing: World) -> None:
    failing.scorer.result = NOT_WORSE
    verdict = evaluate(failing)
    assert verdict.verdict is Verdict.DEPLOY
    assert verdict.reasons[0].startswith("The challenger is not worse than version 1")
    assert "a loss below 0.02 is accepted" in verdict.reasons[0]
    assert any(
        "open alarm since 2026-02-08 00:00:00 UTC, risen at 2026-02-07 12:00:00 UTC" in r for r in verdict.reasons
    )
    assert failing.alarms.asked == [(MODEL, 1)]


def test_without_an_alarm_it_does_not(world: World) -> None:
    world.scorer.result = NOT_WORSE
    verdict = evaluate(world)
    assert verdict.verdict is Verdict.CONTINUE_TUNING
    assert not any("alarm" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.019, 0.03, Verdict.DEPLOY),
        (-0.019, -0.001, Verdict.DEPLOY),
        (-0.02, 0.03, Verdict.CONTINUE_TUNING),
        (-0.05, -0.02, Verdict.CONTINUE_TUNING),
        (-0.05, -0.021, Verdict.REJECT),
    ],
)
def test_the_margin_decides(failing: World, low: float, high: float, expected: Verdict) -> None:
    failing.scorer.result = {"low": low, "high": high}
    assert evaluate(failing).verdict is expected


def test_the_margin_of_a_regression_is_a_share_of_the_champions_error(failing: World) -> None:
    failing.set_gate(min_rows=300, metric="log_loss", not_worse_margin=0.1)
    failing.scorer.result = {"low": -0.05, "high": 0.09}
    assert evaluate(failing).verdict is Verdict.DEPLOY
    failing.scorer.result = {"low": -0.05, "high": 0.11}
    assert evaluate(failing).verdict is Verdict.CONTINUE_TUNING


def test_a_monitor_that_is_away_means_the_usual_standard_and_the_reasons_name_it(failing: World) -> None:
    failing.alarms.error = Unreachable("the monitor does not answer: timed out")
    failing.scorer.result = NOT_WORSE
    verdict = evaluate(failing)
    assert verdict.verdict is Verdict.CONTINUE_TUNING
    assert "Open alarms of version 1 are not known: the monitor does not answer: timed out." in verdict.reasons


def test_the_policy_may_ask_for_a_gain_whatever_the_alarm(failing: World) -> None:
    failing.set_gate(min_rows=300, standard="better")
    failing.scorer.result = NOT_WORSE
    verdict = evaluate(failing)
    assert verdict.verdict is Verdict.CONTINUE_TUNING
    assert any(reason.startswith("By the gate policy, a gain is needed although") for reason in verdict.reasons)


def test_the_policy_may_accept_a_version_that_is_not_worse_without_an_alarm(world: World) -> None:
    world.set_gate(min_rows=300, standard="not_worse")
    world.scorer.result = NOT_WORSE
    assert evaluate(world).verdict is Verdict.DEPLOY


def test_an_earlier_version_returns_only_if_it_is_better(failing: World) -> None:
    failing.promote(2)
    failing.scorer.results = {("champion", "challenger"): {"low": -0.05}, ("champion", "version-1"): NOT_WORSE}
    evaluate(failing, 3)
    assert failing.rollout_requests() == []
    failing.scorer.results["champion", "version-1"] = beats(0.06)
    evaluate(failing, 3)
    assert [request.version for request in failing.rollout_requests()] == [1]


def test_a_version_that_is_not_worse_than_a_canary_does_not_take_its_place(failing: World) -> None:
    failing.canary(2)
    failing.scorer.results = {("version-2", "challenger"): NOT_WORSE}
    verdict = evaluate(failing, 3)
    assert [(other.version, other.verdict) for other in verdict.others] == [(2, Verdict.CONTINUE_TUNING)]


def test_the_rows_begin_at_the_change(failing: World) -> None:
    verdict = evaluate(failing)
    assert failing.scorer.jobs[0]["since"] == (CHANGE - timedelta(microseconds=1)).isoformat()
    assert "The rows begin at the change, 2026-02-07 12:00:00 UTC." in verdict.reasons
    [evaluation] = failing.evaluations()
    assert evaluation.report is not None
    assert evaluation.report["window"]["begins_at"] == "change_point"
    assert evaluation.report["standard"]["name"] == "not_worse"
    assert evaluation.report["standard"]["change_point"] == CHANGE.isoformat()


def test_rows_after_the_change_are_awaited_and_then_those_before_it_count_as_well(failing: World) -> None:
    failing.labels.after = {CHANGE: 299}
    failing.deliver(failing.registered(2))
    failing.work()
    [waiting] = failing.evaluations()
    assert (waiting.stage, waiting.note) == (
        Stage.WAITING,
        "fewer than 300 labelled rows after the change at 2026-02-07 12:00:00 UTC",
    )
    failing.work(61.0)
    [verdict] = failing.verdicts()
    assert failing.scorer.jobs[0]["since"] == (DAY + timedelta(days=2)).isoformat()
    assert any(reason.startswith("Rows from before the change count as well") for reason in verdict.reasons)


def test_enough_rows_after_the_change_end_the_wait(failing: World) -> None:
    failing.labels.after = {CHANGE: 299}
    failing.deliver(failing.registered(2))
    failing.work()
    failing.labels.after = {CHANGE: 300}
    failing.work(1.0)
    assert failing.scorer.jobs[0]["since"] == (CHANGE - timedelta(microseconds=1)).isoformat()


def test_a_version_trained_after_the_change_is_compared_on_rows_after_its_training(failing: World) -> None:
    failing.given_version(4, train_until=CHANGE + timedelta(hours=1))
    verdict = evaluate(failing, 4)
    assert failing.scorer.jobs[0]["since"] == (CHANGE + timedelta(hours=1)).isoformat()
    assert not any("before the change" in reason for reason in verdict.reasons)


def test_another_champion_during_the_wait_is_asked_about_anew(failing: World) -> None:
    failing.labels.rows, failing.labels.after = 10, {}
    failing.deliver(failing.registered(3))
    failing.work()
    failing.promote(2)
    failing.alarms.alarm, failing.labels.rows, failing.scorer.result = None, 1_000, NOT_WORSE
    failing.work(1.0)
    [verdict] = failing.verdicts()
    assert (verdict.verdict, verdict.champion_version) == (Verdict.CONTINUE_TUNING, 2)
    assert failing.alarms.asked == [(MODEL, 1), (MODEL, 2)]


@pytest.mark.parametrize("decide", ["approve", "reject"])
def test_a_version_that_a_person_has_decided_about_is_not_judged(world: World, decide: str) -> None:
    world.client.set_policy(MODEL, GatePolicy(approval="manual", four_eyes=False, min_rows=300))
    event = world.registered(2)
    world.deliver(event)
    if decide == "approve":
        world.client.approve(MODEL, 2, "known to be good")
    else:
        world.client.reject(MODEL, 2, "known to be bad")
    world.work()
    [verdict] = world.verdicts()
    assert verdict.verdict is Verdict.INCONCLUSIVE
    assert verdict.reasons == (f"Version 2 was not judged: it is {world.client.version(MODEL, 2).stage} already.",)
    assert world.scorer.jobs == []


def test_a_version_that_is_approved_during_the_wait_is_not_judged(world: World) -> None:
    world.labels.rows = 10
    world.deliver(world.registered(2))
    world.work()
    world.client.approve(MODEL, 2, "known to be good")
    world.labels.rows = 1_000
    world.work(1.0)
    assert [verdict.verdict for verdict in world.verdicts()] == [Verdict.INCONCLUSIVE]
    assert world.client.version(MODEL, 2).stage is VersionStage.APPROVED


def test_an_approved_version_is_judged_when_somebody_asks_for_it(world: World) -> None:
    world.client.approve(MODEL, 2, "known to be good")
    world.deliver(requested(world, 2, champion=1))
    world.work()
    assert [verdict.verdict for verdict in world.verdicts()] == [Verdict.DEPLOY]


OPEN = {
    "version": 1,
    "subject": "error_rate",
    "state": "open",
    "since": SINCE.isoformat(),
    "last_event_at": SINCE.isoformat(),
    "change_point": CHANGE.isoformat(),
}
OLDER = {**OPEN, "subject": "mean_absolute_error", "last_event_at": (SINCE - timedelta(days=1)).isoformat()}


def alarms_of(answer: httpx.Response) -> HttpAlarms:
    transport = httpx.MockTransport(lambda _: answer)
    return HttpAlarms(MonitorClient("http://monitor", "k", transport=transport))


def test_the_newest_open_alarm_of_the_version_counts() -> None:
    others = [{**OPEN, "state": "recovered"}, {**OPEN, "version": 2}]
    found = alarms_of(httpx.Response(200, json={"items": [OLDER, *others, OPEN]})).open_alarm(MODEL, 1)
    assert found == OpenAlarm("error_rate", SINCE, CHANGE)
    assert alarms_of(httpx.Response(200, json={"items": others})).open_alarm(MODEL, 1) is None


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503),
        httpx.Response(404),
        httpx.Response(200, text="not JSON"),
        httpx.Response(200, json={"items": [{"version": 1}]}),
        httpx.Response(200, json={}),
    ],
)
def test_an_answer_that_cannot_be_used_is_an_unknown_one(answer: httpx.Response) -> None:
    with pytest.raises(Unreachable, match="the monitor does not answer"):
        alarms_of(answer).open_alarm(MODEL, 1)
