"""Multiclass and regression: train, serve, log, label, store, drift, retrain and verdict on the local stack."""

from collections.abc import Iterator

import pytest

from modelyard_cli.context import Platform
from modelyard_contracts.signature import Task
from modelyard_devstack.testing import wait_until

from .tasks import Model, Stream

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(420)]

ROWS = 1_500
KNOWN = "predictions WHERE model = {model:String}"
LABELLED = "v_labelled WHERE model = {model:String}"


@pytest.fixture(scope="module", params=[Task.MULTICLASS, Task.REGRESSION], ids=str)
def task(request: pytest.FixtureRequest) -> Task:
    return Task(request.param)


@pytest.fixture(scope="module")
def model(stack_dir: object, task: Task) -> Iterator[Model]:
    """A model with one version, which has answered rows of its own concept and rows of a shifted one."""
    model = Model(Platform.find(stack_dir), f"e2e-{task}")  # type: ignore[arg-type]
    model.train(Stream.make(task, 2_000, shifted=False))
    model.send(Stream.make(task, ROWS, shifted=False, seed=12), "same")
    model.send(Stream.make(task, ROWS, shifted=True, seed=13), "shifted")
    yield model


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


def test_every_prediction_and_label_is_stored_once(model: Model) -> None:
    wait_until(lambda: model.count(f"count() FROM {LABELLED}") >= 2 * ROWS, 60, every_s=0.5)
    assert model.count(f"uniqExact(prediction_id) FROM {LABELLED}") == 2 * ROWS
    assert model.count(f"count() - uniqExact(prediction_id) FROM {KNOWN}") == 0


def test_the_model_is_good_on_its_own_concept_only(model: Model, task: Task) -> None:
    wait_until(lambda: model.count(f"count() FROM {LABELLED}") >= 2 * ROWS, 60, every_s=0.5)
    error = "avg(absolute_error) * 1000" if task is Task.REGRESSION else "avg(wrong) * 1000"
    of = f"round({error}) FROM {LABELLED} AND startsWith(prediction_id, 'PREFIX-')"
    assert model.count(of.replace("PREFIX", "shifted")) > 2 * model.count(of.replace("PREFIX", "same"))


def test_drift_starts_a_run_whose_version_gets_a_verdict(model: Model) -> None:
    wait_until(
        lambda: model.count("count() FROM events WHERE model = {model:String} AND type = 'DriftDetected'") > 0,
        90,
        every_s=0.5,
    )
    wait_until(lambda: len(model.runs()) > 1, 90, every_s=0.5, what="a run after the drift")
    ended = wait_until(lambda: model.ended_run(model.runs()[0]["run_id"]), 240, every_s=0.5)
    assert ended["state"] in ("succeeded", "refused"), ended
    judged = wait_until(
        lambda: [each for each in model.evaluations() if each["challenger_version"] > 1 and each["verdict"]],
        120,
        every_s=0.5,
        what="a verdict on version 2",
    )
    assert judged[-1]["verdict"] in ("deploy", "reject", "continue_tuning", "inconclusive")
