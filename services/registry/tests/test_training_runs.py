"""Training runs of the platform among the runs of experiments, and the typed API."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from modelyard_contracts import TrainingRunChanged
from modelyard_contracts.messages.training import RunState
from modelyard_registry.testing import ADMIN_KEY

from .conftest import World
from .tracking import Tracking

RUN = UUID(int=7)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def changed(revision: int, state: RunState, **more: Any) -> TrainingRunChanged:
    fields: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": BEGAN + timedelta(seconds=revision),
        "correlation_id": uuid4(),
        "model": "elec",
        "run_id": RUN,
        "revision": revision,
        "state": state,
        "recipe": "tabular-classifier",
        "trigger": "score",
    }
    return TrainingRunChanged(**{**fields, **more})


STARTED = changed(1, RunState.TRAINING)
DONE = changed(2, RunState.SUCCEEDED, version=3, metrics={"accuracy": 0.9}, cost_usd=0.5, reason="version 3 registered")


def ask(world: World, path: str, token: str = ADMIN_KEY) -> Any:
    answer = world.http.get(path, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_training_run_appears_once_whatever_the_order_and_the_repeats(world: World) -> None:
    world.client.create_model("elec")
    for event in (DONE, STARTED, DONE, STARTED):
        world.deliver(event)

    [experiment] = ask(world, "/v1/experiments")["items"]
    [run] = ask(world, f"/v1/experiments/{experiment['id']}/runs")["items"]

    assert (experiment["name"], experiment["runs"]) == ("elec", 1)
    assert (run["id"], run["status"], run["model"], run["version"]) == (RUN.hex, "FINISHED", "elec", 3)
    assert (run["started_at"], run["ended_at"]) == ("2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z")
    assert run["params"]["recipe"] == "tabular-classifier"
    assert {key: one["value"] for key, one in run["metrics"].items()} == {"accuracy": 0.9, "cost_usd": 0.5}


def test_a_refused_request_is_no_run(on_sqlite: World) -> None:
    on_sqlite.client.create_model("elec")
    on_sqlite.deliver(changed(1, RunState.REFUSED, reason="cool-down"))

    assert ask(on_sqlite, "/v1/experiments")["items"] == []
    assert [entry.change for entry in on_sqlite.client.history("elec")][-1] == "training_run_changed"


def test_a_training_run_is_read_by_clients_of_mlflow_and_takes_their_tags_only(on_sqlite: World) -> None:
    on_sqlite.client.create_model("elec")
    on_sqlite.deliver(DONE)
    tracking = Tracking(on_sqlite)

    run = tracking.get("runs/get", run_id=RUN.hex)["run"]
    tracking.post("runs/set-tag", run_id=RUN.hex, key="note", value="kept for the audit")

    assert {"key": "modelyard.version", "value": "3"} in run["data"]["tags"]
    code, message = tracking.refused("POST", "runs/log-metric", run_id=RUN.hex, key="accuracy", value=1, timestamp=1)
    assert (code, "is a training run of the platform" in message) == ("INVALID_STATE", True)
    assert tracking.refused("POST", "runs/delete", run_id=RUN.hex)[0] == "INVALID_STATE"


def test_the_typed_api_has_runs_metrics_and_artifacts(on_sqlite: World) -> None:
    tracking = Tracking(on_sqlite)
    id_ = tracking.logged(tracking.experiment(), "first", accuracy=0.5)
    for step in range(1, 4):
        tracking.post("runs/log-metric", run_id=id_, key="accuracy", value="NaN", timestamp=step, step=step)
    tracking.artifact("PUT", f"runs/{id_}/artifacts/notes/a.txt", b"hello")

    run = ask(on_sqlite, f"/v1/runs/{id_}")
    page = ask(on_sqlite, f"/v1/runs/{id_}/metrics/accuracy?limit=2")
    rest = ask(on_sqlite, f"/v1/runs/{id_}/metrics/accuracy?limit=2&after={page['next_after']}")

    assert (run["params"], run["metrics"]["accuracy"]["text"]) == ({"name": "first"}, "nan")
    assert [(one["step"], one["value"]) for one in page["items"] + rest["items"]] == [
        (0, 0.5),
        (1, None),
        (2, None),
        (3, None),
    ]
    assert ask(on_sqlite, f"/v1/runs/{id_}/artifacts")["items"] == [{"path": "notes", "size_bytes": None}]
    headers = {"authorization": f"Bearer {ADMIN_KEY}", "range": "bytes=1-2"}
    part = on_sqlite.http.get(f"/v1/runs/{id_}/artifacts/notes/a.txt", headers=headers)
    assert (part.status_code, part.content) == (206, b"el")


def test_the_python_client_reads_experiments_runs_metrics_and_files(on_sqlite: World) -> None:
    tracking = Tracking(on_sqlite)
    id_ = tracking.run(tracking.experiment(), run_name="first")
    for run, value in ((id_, 0.5), (tracking.run("1", run_name="second"), 0.7)):
        tracking.post("runs/log-metric", run_id=run, key="val/acc", value=value, timestamp=1)
    tracking.artifact("PUT", f"runs/{id_}/artifacts/a b/c.txt", b"hello")
    client = on_sqlite.client

    [experiment] = client.experiments(q="SPA")
    page = client.experiment_runs(experiment.id, order_by='metrics."val/acc" DESC', limit=1)
    rest = client.experiment_runs(experiment.id, order_by='metrics."val/acc" DESC', after=page.next_after)

    assert [run.name for run in (*page.items, *rest.items)] == ["second", "first"]
    assert [one.value for one in client.metric_history(id_, "val/acc")] == [0.5]
    assert [one.path for one in client.run_artifacts(id_, "a b")] == ["a b/c.txt"]
    assert b"".join(client.run_artifact(id_, "a b/c.txt")) == b"hello"
    assert (client.experiment_run(id_).versions, client.experiment(1).runs) == ((), 2)


def test_a_list_has_the_experiments_that_the_key_may_read(on_sqlite: World) -> None:
    on_sqlite.client.create_workspace("acme")
    Tracking(on_sqlite).experiment("here")
    Tracking(on_sqlite, workspace="acme").experiment("there")
    token = on_sqlite.key("viewer", workspace="acme")

    assert [one["name"] for one in ask(on_sqlite, "/v1/experiments")["items"]] == ["there", "here"]
    assert [one["name"] for one in ask(on_sqlite, "/v1/experiments", token)["items"]] == ["there"]
    assert ask(on_sqlite, "/v1/experiments?q=HER&workspace=default")["items"][0]["name"] == "here"
    refused = on_sqlite.http.get("/v1/experiments/1", headers={"authorization": f"Bearer {token}"})
    assert refused.status_code == 403
