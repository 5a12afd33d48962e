"""A route plan of a person: rules, a fallback and a shadow, from the specification to the log."""

from pathlib import Path
from typing import Any

import pytest

from modelyard_cli.context import Platform
from modelyard_contracts.signature import Task
from modelyard_devstack.testing import wait_until

from .tasks import Model, Stream

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]

NAME, ROUTE, VOTE = "e2e-routed", "e2e-plan", "e2e-vote"
PINNED = {"kind": "version", "model": NAME, "version": 1}
MANAGED = {"kind": "model", "model": NAME}
ROOT: dict[str, Any] = {
    "kind": "rules",
    "rules": [{"name": "red", "when": {"fact": "feature:colour", "op": "eq", "value": "red"}, "node": PINNED}],
    "otherwise": {
        "kind": "shadow",
        "main": {"kind": "fallback", "nodes": [MANAGED, PINNED]},
        "copies": [{"name": "copy", "percent": 100, "node": PINNED}],
    },
}


@pytest.fixture(scope="module")
def model(stack_dir: Path) -> Model:
    """A served version, and a route whose plan every router has applied."""
    model = Model(Platform.find(stack_dir), NAME)
    model.train(Stream.make(Task.MULTICLASS, 1_500, shifted=False))
    spec = {"schema_version": 1, "min_release": "0.2", "root": ROOT}
    model.call("deployer", "PUT", f"/v1/routes/{ROUTE}", json=spec)
    wait_until(lambda: is_applied(model), 60, every_s=0.5, what="the plan is applied")
    return model


def is_applied(model: Model, route: str = ROUTE) -> bool:
    applied = model.call("deployer", "GET", f"/v1/routes/{route}/applied")
    assert applied["refused"] == {}
    return bool(applied["applied"]) and not applied["pending"]


def predict(model: Model, colour: str, prediction_id: str) -> Any:
    body = {"features": {"width": 0.5, "height": 0.1, "colour": colour}, "prediction_id": prediction_id}
    return model.call("router", "POST", f"/v1/predict/{ROUTE}", json=body)


def logged(model: Model, condition: str) -> list[dict[str, Any]]:
    sql = "SELECT prediction_id, rule, path, shadow_of, length(attempts) AS attempts FROM predictions"
    return model.platform.query(f"{sql} WHERE route = {{route:String}} AND {condition}", {"route": ROUTE})


def test_a_rule_selects_its_node(model: Model) -> None:
    assert predict(model, "red", "plan-red")["version"] == 1
    [row] = wait_until(lambda: logged(model, "prediction_id = 'plan-red'"), 30, every_s=0.5)
    assert (row["path"], row["attempts"]) == ("rules:red", 1)


def test_a_shadow_is_logged_beside_the_answer(model: Model) -> None:
    predict(model, "blue", "plan-blue")
    [row] = wait_until(lambda: logged(model, "prediction_id = 'plan-blue'"), 30, every_s=0.5)
    assert row["shadow_of"] is None
    assert "fallback:0" in row["path"]
    [copy] = wait_until(lambda: logged(model, "shadow_of = 'plan-blue'"), 30, every_s=0.5)
    assert copy["prediction_id"] != "plan-blue"
    assert "shadow:copy" in copy["path"]


def test_the_router_explains_its_choice(model: Model) -> None:
    facts = {"features": {"width": 0.5, "height": 0.1, "colour": "red"}}
    explained = model.call("router", "POST", f"/v1/routes/{ROUTE}/explain", json=facts)
    assert "rules:red" in str(explained)


def test_an_ensemble_answers_with_the_votes_of_its_members(model: Model) -> None:
    members = [{"weight": 0.6, "node": MANAGED}, {"weight": 0.4, "node": PINNED}]
    spec = {"schema_version": 1, "min_release": "0.2", "root": {"kind": "ensemble", "members": members}}
    model.call("deployer", "PUT", f"/v1/routes/{VOTE}", json=spec)
    wait_until(lambda: is_applied(model, VOTE), 60, every_s=0.5, what="the ensemble is applied")
    features = {"width": 0.5, "height": 0.1, "colour": "red"}
    answer = model.call(
        "router", "POST", f"/v1/predict/{VOTE}", json={"features": features, "prediction_id": "vote-red"}
    )
    assert [vote["weight"] for vote in answer["votes"]] == [0.6, 0.4]
    assert answer["score"] == pytest.approx(answer["votes"][0]["score"]), "both members are the same version"
    sql = "SELECT votes.weight AS w FROM predictions WHERE prediction_id = 'vote-red'"
    [row] = wait_until(lambda: model.platform.query(sql), 30, every_s=0.5)
    assert row["w"] == [0.6, 0.4]


def test_a_node_of_a_later_release_is_refused_by_name(model: Model) -> None:
    cascade = {"kind": "cascade", "threshold": 0.9, "first": PINNED, "then": MANAGED}
    with pytest.raises(AssertionError, match=r"422.*cascade at root"):
        spec = {"schema_version": 1, "min_release": "0.2", "root": cascade}
        model.call("deployer", "PUT", "/v1/routes/e2e-cascade", json=spec)
