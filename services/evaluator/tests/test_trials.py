"""A version that was made elsewhere is tried on its example before it is compared with anything."""

import pytest

from modelyard_contracts import Verdict
from modelyard_contracts.manifest import digest_of
from modelyard_evaluator.api.models import EvaluationInfo
from modelyard_evaluator.domain.errors import Unreachable
from modelyard_evaluator.domain.evaluation import Evaluation, Stage
from modelyard_evaluator.domain.trial import Trial, TrialOutcome

from .conftest import World

OWN = "own"


@pytest.fixture
def own(world: World) -> World:
    """The world with a version of `own` that has no dataset."""
    world.given_own_version(1)
    world.deliver(world.registered(1, model=OWN))
    return world


def finished(world: World) -> Evaluation:
    [evaluation] = world.evaluations()
    assert evaluation.done
    return evaluation


def test_a_version_that_answers_as_recorded_is_deployed_without_labels(own: World) -> None:
    own.work()
    [event] = own.verdicts()
    assert (event.verdict, event.answers_equal) == (Verdict.DEPLOY, True)
    assert (event.challenger_latency_ms_p50, event.challenger_latency_ms_p95) == (1.5, 2.25)
    assert event.challenger_memory_mib == 120.0
    assert "all answers equal the recorded ones" in event.reasons[0]
    assert own.labels.since == [], "labels were counted"
    assert own.trials.given == [{"manifest.json", "model.onnx", "modelyard-example.json"}]


def test_the_figures_are_in_the_report(own: World) -> None:
    own.work()
    report = EvaluationInfo.of(finished(own)).report
    assert report is not None and report.trial is not None
    assert (report.trial.rows, report.trial.p95_ms, report.trial.answers_equal) == (3, 2.25, True)


@pytest.mark.parametrize(
    ("trial", "verdict", "reason"),
    [
        (Trial(TrialOutcome.FAILED, "KeyError: 'age'"), Verdict.REJECT, "KeyError: 'age'"),
        (Trial(TrialOutcome.OVER_LIMIT, "it did not finish within 120 s"), Verdict.REJECT, "within 120 s"),
        (Trial(TrialOutcome.NOT_RUN, "onnxruntime is missing"), Verdict.INCONCLUSIVE, "cannot be tried here"),
        (
            Trial(TrialOutcome.ANSWERED, rows=3, answers_equal=False, first_difference="row 2: yes, not no"),
            Verdict.REJECT,
            "row 2: yes, not no",
        ),
    ],
)
def test_a_version_that_does_not_answer_as_recorded_is_not_deployed(
    own: World, trial: Trial, verdict: Verdict, reason: str
) -> None:
    own.trials.trial = trial
    own.work()
    [event] = own.verdicts()
    assert event.verdict is verdict
    assert reason in event.reasons[0]


def test_a_labelled_sample_is_compared_with_the_majority_class(world: World) -> None:
    world.given_own_version(1, dataset=digest_of(b"the parquet file that the versions were trained on"))
    world.deliver(world.registered(1, model=OWN))
    world.work()
    [event] = world.verdicts()
    assert (event.verdict, event.rows, event.answers_equal) == (Verdict.DEPLOY, 1_000, True)
    assert "majority class" in event.reasons[0]
    assert any("In a trial" in reason for reason in event.reasons)


def test_a_small_labelled_sample_leaves_the_verdict_to_the_trial(world: World) -> None:
    world.scorer.pinned_rows = 20
    world.client.create_model(OWN)
    world.given_own_version(1, dataset=digest_of(b"the parquet file that the versions were trained on"))
    world.deliver(world.registered(1, model=OWN))
    world.work()
    [event] = world.verdicts()
    assert event.verdict is Verdict.DEPLOY
    assert any("20 are left" in reason for reason in event.reasons)


def test_a_later_version_is_tried_and_then_compared_on_live_labels(world: World) -> None:
    world.given_own_version(4, model="churn")
    world.deliver(world.registered(4))
    world.work()
    evaluation = finished(world)
    assert evaluation.champion is not None and evaluation.champion.version == 1
    assert evaluation.trial is not None and evaluation.source == "labels"


def test_a_machine_that_cannot_start_a_process_tries_again(own: World) -> None:
    own.trials.error = Unreachable("no process")
    own.work()
    [waiting] = own.evaluations()
    assert (waiting.stage, waiting.attempts) == (Stage.TRIAL, 1)
    own.trials.error = None
    own.work(seconds=60)
    assert finished(own).verdict is Verdict.DEPLOY


@pytest.mark.parametrize("flavour", ["container", "external-api"])
def test_a_model_that_is_not_in_the_files_is_inconclusive_at_once(world: World, flavour: str) -> None:
    world.given_own_version(1, flavour=flavour)
    world.deliver(world.registered(1, model=OWN))
    world.work()
    [event] = world.verdicts()
    assert event.verdict is Verdict.INCONCLUSIVE
    assert "The version cannot be tried here: it is a" in event.reasons[0]
    assert world.trials.given == []


def test_a_version_of_a_training_run_is_not_tried(world: World) -> None:
    world.deliver(world.registered(2))
    world.work()
    assert finished(world).trial is None and world.trials.given == []
