"""The unchanged client of MLflow against a real registry over loopback, with the real scan."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from modelyard import RegistryClient
from modelyard_contracts import RolloutState, Verdict
from modelyard_contracts.messages.training import RunState
from modelyard_registry.scanning import IsolatedScanner
from modelyard_registry.testing import ADMIN_KEY, InProcessRegistry
from modelyard_runtime.clock import system_clock

from .conftest import World, evaluation, manifest_of, rollout
from .test_training_runs import changed

mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is installed by requirements-dev.lock")
pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("loopback")]

ROWS = pd.DataFrame({"price": np.arange(40.0) / 40, "load": np.arange(40.0) % 7})
RISES = (ROWS.price > 0.5).map({True: "up", False: "down"})
REQUIREMENTS = ["scikit-learn"]
"""Stated, because MLflow otherwise starts a process that finds them out."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mlflow")
    with InProcessRegistry(folder, system_clock, scanner=IsolatedScanner()) as opened:
        http = httpx.Client(transport=opened.transport, base_url="http://registry")
        client = RegistryClient("http://registry", ADMIN_KEY, transport=opened.transport)
        not_used: Any = None
        yield World(opened, http, client, not_used, not_used)


@pytest.fixture(scope="module")
def url(world: World) -> str:
    return f"{world.opened.serve()}/mlflow/default"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """What a user sets, and no retries, so that a failure is seen at once."""
    settings = {
        "MLFLOW_TRACKING_URI": url,
        "MLFLOW_TRACKING_TOKEN": ADMIN_KEY,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)


@pytest.fixture
def model() -> LogisticRegression:
    return LogisticRegression().fit(ROWS, RISES)


def logged(model: LogisticRegression, **more: Any) -> Any:
    """A model that a run logged."""
    mlflow.set_experiment("energy")
    arguments = {"input_example": ROWS, "serialization_format": "skops", "pip_requirements": REQUIREMENTS, **more}
    with mlflow.start_run():
        return mlflow.sklearn.log_model(model, name="model", **arguments)


def test_a_run_is_logged_searched_and_read(tmp_path: Path) -> None:
    mlflow.set_experiment("spam")
    (tmp_path / "plot.txt").write_text("a plot")
    with mlflow.start_run(run_name="first", tags={"team": "risk"}) as run:
        mlflow.log_params({"depth": 3, "solver": "lbfgs"})
        for step in range(5):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_artifact(str(tmp_path / "plot.txt"), "plots")
        mlflow.log_dict({"a": 1}, "config.json")
    client, id_ = mlflow.MlflowClient(), run.info.run_id

    found = client.get_run(id_)
    table = mlflow.search_runs(experiment_names=["spam"], filter_string="metrics.loss < 0.5 AND params.depth = '3'")

    assert (found.info.status, found.data.metrics, found.data.params["solver"]) == ("FINISHED", {"loss": 0.2}, "lbfgs")
    assert [point.step for point in client.get_metric_history(id_, "loss")] == [0, 1, 2, 3, 4]
    assert list(table.run_id) == [id_]
    assert [one.path for one in client.list_artifacts(id_)] == ["config.json", "plots"]
    downloaded = mlflow.artifacts.download_artifacts(run_id=id_, artifact_path="plots", dst_path=str(tmp_path / "d"))
    assert (Path(downloaded) / "plot.txt").read_text() == "a plot"


def test_a_model_is_logged_registered_aliased_found_and_loaded_as_champion(
    world: World, model: LogisticRegression
) -> None:
    client, info = mlflow.MlflowClient(), logged(model)

    version = mlflow.register_model(info.model_uri, "energy", tags={"team": "risk"})
    client.set_registered_model_alias("energy", "candidate", version.version)
    again = mlflow.register_model(info.model_uri, "energy")

    assert (version.version, version.status, version.run_id) == ("1", "READY", info.run_id)
    assert again.version == "1", "equal files are one version"
    assert version.tags["modelyard.stage"] == "registered" and version.tags["modelyard.flavour"] == "skops"
    assert client.get_model_version_by_alias("energy", "candidate").version == "1"
    assert [one.aliases for one in client.search_model_versions("name = 'energy'")] == [["candidate"]]
    assert [one.version for one in client.search_model_versions("tags.team = 'risk'")] == ["1"]
    with pytest.raises(mlflow.MlflowException, match="rollouts move the alias 'champion'"):
        client.set_registered_model_alias("energy", "champion", version.version)

    registered = world.client.version("energy", 1)
    world.deliver(evaluation(registered, Verdict.DEPLOY))
    world.deliver(rollout(registered, RolloutState.PROMOTED, at=datetime.now(UTC)))
    served = mlflow.sklearn.load_model("models:/energy@champion")
    assert list(served.predict(ROWS)) == list(model.predict(ROWS))
    [run] = [one for one in world.client.history("energy") if one.change == "alias_moved" and one.alias == "candidate"]
    assert (run.actor, run.reason) == ("bootstrap-admin", "by a client of MLflow")


@pytest.mark.parametrize(
    ("more", "remedy"),
    [
        ({"serialization_format": "cloudpickle"}, 'serialization_format="skops"'),
        ({"input_example": None}, "input_example=X.head"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused_with_the_remedy(
    model: LogisticRegression, more: dict[str, Any], remedy: str
) -> None:
    info = logged(model, **more)

    with pytest.raises(mlflow.MlflowException) as refused:
        mlflow.register_model(info.model_uri, "refused")

    assert refused.value.error_code == "INVALID_PARAMETER_VALUE" and remedy in str(refused.value)
    assert mlflow.MlflowClient().search_model_versions("name = 'refused'") == []


def test_versions_and_training_runs_of_the_platform_are_read(world: World, tmp_path: Path) -> None:
    data = b"bytes of a model"
    world.client.create_model("elec")
    world.client.put_blob(data)
    made = world.client.create_version(manifest_of("elec", **{"notes.txt": data}), idempotency_key="one")
    world.client.finalize_version("elec", made.version)
    run = UUID(int=11)
    world.deliver(changed(1, RunState.SUCCEEDED, run_id=run, version=1, metrics={"accuracy": 0.9}, event_id=uuid4()))
    client = mlflow.MlflowClient()

    version = client.get_model_version("elec", "1")
    folder = mlflow.artifacts.download_artifacts("models:/elec/1", dst_path=str(tmp_path))

    assert (version.name, version.tags["modelyard.digest"]) == ("elec", made.digest)
    assert (Path(folder) / "notes.txt").read_bytes() == data
    assert client.get_run(run.hex).data.metrics["accuracy"] == 0.9
    assert list(mlflow.search_runs(experiment_names=["elec"]).run_id) == [run.hex]


def test_a_key_without_the_right_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", world.key("viewer"))

    with pytest.raises(mlflow.MlflowException, match="ask an admin for developer") as refused:
        mlflow.MlflowClient().create_experiment("mine")

    assert refused.value.error_code == "PERMISSION_DENIED"


def test_what_is_not_served_is_refused_by_name() -> None:
    client = mlflow.MlflowClient()
    asked: dict[str, Callable[[], Any]] = {
        "traces/search": lambda: client.search_traces(locations=["1"]),
        "stages of MLflow": lambda: client.transition_model_version_stage("elec", "1", "Production"),
        "models are not deleted": lambda: client.delete_registered_model("elec"),
        "models are not renamed": lambda: client.rename_registered_model("elec", "other"),
    }
    for reason, ask in asked.items():
        with pytest.raises(mlflow.MlflowException, match=reason) as refused:
            ask()
        assert refused.value.error_code == "NOT_IMPLEMENTED"
