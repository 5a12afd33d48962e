"""Experiments and runs over MLflow's API."""

import math

import pytest

from .conftest import World
from .tracking import Tracking


def test_a_run_keeps_parameters_metrics_tags_and_its_end(world: World) -> None:
    tracking = Tracking(world)
    id_ = tracking.run(tracking.experiment(), run_name="first", tags=[{"key": "team", "value": "risk"}])
    tracking.post("runs/log-parameter", run_id=id_, key="depth", value="3")
    for step, value in enumerate((0.5, 0.25, 0.75)):
        tracking.post("runs/log-metric", run_id=id_, key="loss", value=value, timestamp=10 + step, step=step)
    tracking.post("runs/update", run_id=id_, status="FINISHED", end_time=99)

    run = tracking.get("runs/get", run_id=id_)["run"]

    assert (run["info"]["status"], run["info"]["end_time"], run["info"]["run_name"]) == ("FINISHED", 99, "first")
    assert run["data"]["params"] == [{"key": "depth", "value": "3"}]
    assert {"key": "team", "value": "risk"} in run["data"]["tags"]
    assert run["data"]["metrics"] == [{"key": "loss", "value": 0.75, "timestamp": 12, "step": 2}]


def test_a_metric_has_pages_of_history_and_a_repeated_batch_adds_nothing(world: World) -> None:
    tracking = Tracking(world)
    id_ = tracking.run(tracking.experiment())
    points = [{"key": "loss", "value": 1 / (n + 1), "timestamp": n, "step": n} for n in range(5)]
    for _ in range(2):
        tracking.post("runs/log-batch", run_id=id_, metrics=points)

    first = tracking.get("metrics/get-history", run_id=id_, metric_key="loss", max_results=3)
    token = first["next_page_token"]
    second = tracking.get("metrics/get-history", run_id=id_, metric_key="loss", max_results=3, page_token=token)

    assert [point["step"] for point in first["metrics"]] == [0, 1, 2]
    assert [point["step"] for point in second["metrics"]] == [3, 4]
    assert "next_page_token" not in second


def test_numbers_that_json_has_not_are_kept(world: World) -> None:
    tracking = Tracking(world)
    id_ = tracking.run(tracking.experiment())
    for key, value in (("bad", "NaN"), ("big", "Infinity"), ("small", "-Infinity")):
        tracking.post("runs/log-metric", run_id=id_, key=key, value=value, timestamp=1)

    metrics = tracking.get("runs/get", run_id=id_)["run"]["data"]["metrics"]

    assert {one["key"]: one["value"] for one in metrics} == {"bad": "NaN", "big": "Infinity", "small": "-Infinity"}
    assert tracking.search("1", "metrics.big > 1e300") == tracking.search("1")
    assert tracking.search("1", "metrics.bad > 0") == []
    assert math.isinf(float(metrics[1]["value"]))


def test_a_parameter_never_changes_but_may_be_repeated(on_sqlite: World) -> None:
    tracking = Tracking(on_sqlite)
    id_ = tracking.run(tracking.experiment())
    for _ in range(2):
        tracking.post("runs/log-parameter", run_id=id_, key="depth", value="3")

    code, message = tracking.refused("POST", "runs/log-parameter", run_id=id_, key="depth", value="4")

    assert (code, "'depth' is '3' and never changes" in message) == ("INVALID_PARAMETER_VALUE", True)


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ("metrics.accuracy > 0.8", ["c", "b"]),
        ("metrics.accuracy >= 0.8 AND params.name != 'b'", ["c"]),
        ("params.name IN ('a', 'b')", ["b", "a"]),
        ("attributes.run_name LIKE 'A%'", []),
        ("run_name ILIKE 'A%'", ["a"]),
        ("tags.`mlflow.runName` = 'a'", ["a"]),
        ("status = 'RUNNING' and start_time > 1", ["c", "b"]),
        ("", ["c", "b", "a"]),
    ],
)
def test_runs_are_found_by_filters(world: World, filter: str, found: list[str]) -> None:
    tracking = Tracking(world)
    experiment = tracking.experiment()
    for at, (name, accuracy) in enumerate((("a", 0.5), ("b", 0.85), ("c", 0.9)), 1):
        tracking.logged(experiment, name, at=at, accuracy=accuracy)

    assert tracking.search(experiment, filter) == found


@pytest.mark.parametrize(
    ("filter", "reason"),
    [
        ("metrics.accuracy > 'x'", "write a number"),
        ("metrics.accuracy LIKE '1'", "takes =, !=, <, <=, >, >=, not LIKE"),
        ("params.a = 3", "put it in quotes"),
        ("colour.a = 'x'", "write metrics., params., tags. or attributes."),
        ("params.a = 'x' OR params.b = 'y'", "OR is not supported"),
        ("params.a =", "it ends where a value is expected"),
        ("attributes.colour = 'red'", "no attribute 'colour'"),
        ("params.a = 'x' AND", "put AND between two conditions"),
        ("params.a ; DROP TABLE runs", "cannot read it"),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_with_the_reason(on_sqlite: World, filter: str, reason: str) -> None:
    tracking = Tracking(on_sqlite)
    experiment = tracking.experiment()

    code, message = tracking.refused("POST", "runs/search", experiment_ids=[experiment], filter=filter)

    assert code == "INVALID_PARAMETER_VALUE"
    assert message.startswith("filter: ") and reason in message


def test_every_order_has_pages_without_gaps_or_repeats(world: World) -> None:
    tracking = Tracking(world)
    experiment = tracking.experiment()
    for n in range(7):
        metrics = {} if n == 3 else {"accuracy": (n % 3) / 10}
        tracking.logged(experiment, f"run-{n}", at=n, **metrics)
    for order in ("metrics.accuracy DESC", "metrics.accuracy ASC", "params.name ASC", "attributes.start_time ASC"):
        whole, pages, token = tracking.search(experiment, order_by=[order]), [], ""
        while True:
            fields = {"experiment_ids": [experiment], "order_by": [order], "max_results": 2, "page_token": token}
            page = tracking.post("runs/search", **fields)
            pages += [run["info"]["run_name"] for run in page["runs"]]
            if not (token := page.get("next_page_token", "")):
                break
        assert pages == whole and len(whole) == 7, order
        if "accuracy" in order:
            assert whole[-1] == "run-3", "without a value: last"


def test_a_cursor_of_another_order_is_refused(on_sqlite: World) -> None:
    tracking = Tracking(on_sqlite)
    experiment = tracking.experiment()
    for token in ("nonsense", "WzFd", "eyJhIjoxfQ=="):
        code, message = tracking.refused("POST", "runs/search", experiment_ids=[experiment], page_token=token)
        assert (code, "page_token" in message) == ("INVALID_PARAMETER_VALUE", True)


def test_deleted_runs_and_experiments_take_nothing_and_come_back(world: World) -> None:
    tracking = Tracking(world)
    experiment = tracking.experiment()
    id_ = tracking.run(experiment, run_name="first")

    tracking.post("runs/delete", run_id=id_)
    assert tracking.search(experiment) == []
    assert tracking.search(experiment, run_view_type="DELETED_ONLY") == ["first"]
    assert tracking.refused("POST", "runs/set-tag", run_id=id_, key="a", value="b")[0] == "INVALID_STATE"
    tracking.post("runs/restore", run_id=id_)
    assert tracking.search(experiment) == ["first"]

    tracking.post("experiments/delete", experiment_id=experiment)
    assert tracking.refused("POST", "runs/create", experiment_id=experiment)[0] == "INVALID_STATE"
    code, message = tracking.refused("POST", "experiments/create", name="spam")
    assert (code, "is deleted; restore it" in message) == ("RESOURCE_ALREADY_EXISTS", True)
    tracking.post("experiments/restore", experiment_id=experiment)
    assert [one["name"] for one in tracking.post("experiments/search")["experiments"]] == ["spam"]


def test_runs_without_an_experiment_lie_in_the_default_one(on_sqlite: World) -> None:
    tracking = Tracking(on_sqlite)
    tracking.run("0", run_name="first")

    assert tracking.search("0") == ["first"]
    assert tracking.get("experiments/get", experiment_id="0")["experiment"]["name"] == "Default"


def test_artifacts_are_listed_read_in_parts_replaced_and_removed(world: World) -> None:
    tracking = Tracking(world)
    id_ = tracking.run(tracking.experiment())
    root = f"runs/{id_}/artifacts"
    assert tracking.artifact("PUT", f"{root}/notes/a.txt", b"hello").status_code == 200
    assert tracking.artifact("PUT", f"{root}/b.txt", b"old").status_code == 200
    assert tracking.artifact("PUT", f"{root}/b.txt", b"newer").status_code == 200

    assert tracking.get("artifacts/list", run_id=id_)["files"] == [
        {"path": "b.txt", "is_dir": False, "file_size": 5},
        {"path": "notes", "is_dir": True},
    ]
    assert tracking.artifact("GET", f"{root}/notes/a.txt").content == b"hello"
    assert tracking.artifact("DELETE", f"{root}/notes").status_code == 200
    assert tracking.artifact("GET", f"{root}/notes/a.txt").status_code == 404
    assert tracking.artifact("GET", f"{root}/b.txt").content == b"newer"


@pytest.mark.parametrize("path", ["%2e%2e/a", "a/%2e%2e/b", "a//b", "%2e/a"])
def test_a_path_that_leaves_its_run_is_refused(on_sqlite: World, path: str) -> None:
    tracking = Tracking(on_sqlite)
    id_ = tracking.run(tracking.experiment())

    answer = tracking.artifact("PUT", f"runs/{id_}/artifacts/{path}", b"x")

    assert answer.status_code in (400, 404)
    assert tracking.get("artifacts/list", run_id=id_)["files"] == []


def test_an_artifact_above_the_limit_is_refused(on_sqlite: World) -> None:
    tracking = Tracking(on_sqlite)
    id_ = tracking.run(tracking.experiment())

    answer = tracking.artifact("PUT", f"runs/{id_}/artifacts/big", b"x" * 3_000_001)

    assert (answer.status_code, answer.json()["error_code"]) == (413, "INVALID_PARAMETER_VALUE")


def test_a_collection_keeps_the_blobs_of_runs(on_sqlite: World) -> None:
    tracking = Tracking(on_sqlite)
    id_ = tracking.run(tracking.experiment())
    tracking.artifact("PUT", f"runs/{id_}/artifacts/a.txt", b"hello")
    on_sqlite.clock.advance(400 * 24 * 3600)

    on_sqlite.http.post(
        "/v1/blobs/collect", json={"apply": True}, headers={"authorization": f"Bearer {tracking.token}"}
    )

    assert tracking.artifact("GET", f"runs/{id_}/artifacts/a.txt").content == b"hello"


def test_a_logged_model_is_created_finalized_and_found(world: World) -> None:
    tracking = Tracking(world)
    experiment = tracking.experiment()
    run = tracking.run(experiment)
    made = tracking.post("logged-models", experiment_id=experiment, source_run_id=run, name="forest")
    id_ = made["model"]["info"]["model_id"]
    tracking.post("runs/log-metric", run_id=run, key="accuracy", value=0.9, timestamp=1, model_id=id_)

    answer = tracking.ask("PATCH", f"logged-models/{id_}", status="LOGGED_MODEL_READY")
    found = tracking.post("logged-models/search", experiment_ids=[experiment], filter="metrics.accuracy > 0.8")

    assert answer.json()["model"]["info"]["status"] == "LOGGED_MODEL_READY"
    assert [one["info"]["model_id"] for one in found["models"]] == [id_]
    assert found["models"][0]["data"]["metrics"][0]["value"] == 0.9


def test_a_workspace_sees_its_own_runs_only(on_sqlite: World) -> None:
    on_sqlite.client.create_workspace("acme")
    here, there = Tracking(on_sqlite), Tracking(on_sqlite, workspace="acme")
    id_ = here.run(here.experiment())

    code, message = there.refused("GET", "runs/get", run_id=id_)

    assert (code, "in the workspace acme" in message) == ("RESOURCE_DOES_NOT_EXIST", True)
    assert there.post("experiments/search")["experiments"] == []


def test_roles_decide_and_refusals_have_the_form_of_mlflow(on_sqlite: World) -> None:
    id_ = Tracking(on_sqlite).experiment()
    viewer = Tracking(on_sqlite, on_sqlite.key("viewer"))

    assert viewer.get("experiments/get", experiment_id=id_)["experiment"]["name"] == "spam"
    code, message = viewer.refused("POST", "runs/create", experiment_id=id_)
    assert (code, "ask an admin for developer" in message) == ("PERMISSION_DENIED", True)
    assert Tracking(on_sqlite, "wrong").refused("GET", "experiments/get", experiment_id=id_)[0] == "UNAUTHENTICATED"


def test_what_is_not_served_is_refused_by_name(on_sqlite: World) -> None:
    tracking = Tracking(on_sqlite)

    assert tracking.refused("POST", "traces") == (
        "NOT_IMPLEMENTED",
        "traces of MLflow is not served here; docs/guides/mlflow.md has the list",
    )
    headers = {"authorization": f"Bearer {tracking.token}"}
    answer = on_sqlite.http.get("/mlflow/api/2.0/mlflow/experiments/get", headers=headers)
    assert "put the workspace into MLFLOW_TRACKING_URI" in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "fields", "field"),
    [
        ("runs/log-metric", {"key": "a"}, "value"),
        ("runs/log-metric", {"key": "a;b", "value": 1}, "key"),
        ("runs/log-metric", {"key": "a", "value": 1, "step": "x"}, "step"),
        ("runs/log-parameter", {"key": "a", "value": "x" * 8_001}, "value"),
        ("runs/log-batch", {"metrics": "x"}, "metrics"),
        ("runs/log-batch", {"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}, "params"),
        ("runs/update", {"status": "SLEEPING"}, "status"),
        ("runs/set-tag", {"key": "a", "value": "\0"}, "value"),
    ],
)
def test_bad_values_are_refused_with_their_field(
    on_sqlite: World, path: str, fields: dict[str, object], field: str
) -> None:
    tracking = Tracking(on_sqlite)
    id_ = tracking.run(tracking.experiment())

    code, message = tracking.refused("POST", path, run_id=id_, **fields)

    assert (code, message.partition(":")[0].partition(".")[0]) == ("INVALID_PARAMETER_VALUE", field)
