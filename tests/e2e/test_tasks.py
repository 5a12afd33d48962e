"""Multiclass and regression: train, serve, log, label, store, drift, retrain and verdict on the local stack."""

from pathlib import Path

import pytest

from modelyard_cli.context import Platform
from modelyard_contracts.signature import Task
from modelyard_devstack.testing import wait_until

from .tasks import Model, Stream

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(420)]

ROWS = 1_500
PREDICTIONS = "predictions WHERE model = {model:String}"
EVENTS = "events WHERE model = {model:String}"
LABELLED = "v_labelled WHERE model = {model:String}"


@pytest.fixture(scope="module", params=[Task.MULTICLASS, Task.REGRESSION], ids=str)
def task(request: pytest.FixtureRequest) -> Task:
    return Task(request.param)


@pytest.fixture(scope="module")
def model(stack_dir: Path, task: Task) -> Model:
    """A model with one version, which has answered rows of its own concept and rows of a shifted one."""
    model = Model(Platform.find(stack_dir), f"e2e-{task}")
    model.train(Stream.make(task, 2_000, shifted=False))
    model.send(Stream.make(task, ROWS, shifted=False, seed=12), f"{task}-same")
    model.send(Stream.make(task, ROWS, shifted=True, seed=13), f"{task}-shifted")
    return model


def test_the_manifest_states_the_task(model: Model, task: Task) -> None:
    manifest = model.platform.registry.manifest(model.name, 1)
    assert manifest.signature.task is task
    assert set(manifest.training.metrics) >= ({"mae", "rmse", "r2"} if task is Task.REGRESSION else {"macro_f1"})


def test_a_response_has_the_shape_of_the_task(model: Model, task: Task) -> None:
    answer = model.predict({"width": 1.0, "height": 0.0, "colour": "red"})
    if task is Task.REGRESSION:
        assert 10 < answer["value"] < 25
    else:
        assert answer["class"] == "cat"
        assert set(answer["scores"]) == {"ant", "bee", "cat"}
        assert answer["score"] == max(answer["scores"].values())


def wait_for_labels(model: Model) -> None:
    wait_until(lambda: model.count("count()", LABELLED) >= 2 * ROWS, 60, every_s=0.5, what="all labels are joined")


def test_every_prediction_and_label_is_stored_once(model: Model) -> None:
    wait_for_labels(model)
    assert model.count("uniqExact(prediction_id)", LABELLED) == 2 * ROWS
    assert model.count("count() - uniqExact(prediction_id)", PREDICTIONS) == 0


def test_the_model_is_good_on_its_own_concept_only(model: Model, task: Task) -> None:
    wait_for_labels(model)
    error = "round(avg(absolute_error) * 1000)" if task is Task.REGRESSION else "round(avg(wrong) * 1000)"
    same, shifted = (
        model.count(error, f"{LABELLED} AND startsWith(prediction_id, '{task}-{concept}-')")
        for concept in ("same", "shifted")
    )
    assert shifted > 2 * same


def test_drift_starts_a_run_whose_version_gets_a_verdict(model: Model) -> None:
    finished = f"{EVENTS} AND type = 'EvaluationFinished'"
    wait_until(lambda: model.count("count()", f"{EVENTS} AND type = 'DriftDetected'"), 90, every_s=0.5, what="drift")
    wait_until(lambda: len(model.runs()) > 1, 90, every_s=0.5, what="a run after the drift")
    wait_until(lambda: judged(model), 240, every_s=0.5, what="a verdict on a retrained version")
    wait_until(lambda: model.count("count()", finished) >= 2, 60, every_s=0.5, what="the verdict is stored")


def judged(model: Model) -> bool:
    """True once a version after the first has a verdict."""
    return any(each["challenger_version"] > 1 and each["verdict"] for each in model.evaluations())
