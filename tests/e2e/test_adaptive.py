"""An adaptive model on real services: a version joins the vote, labels move the weights, a harmful version leaves."""

import tempfile
import time
from pathlib import Path
from typing import Any, Final

import pytest

from modelyard import Votes
from modelyard_cli.context import Platform
from modelyard_contracts.policies import AdaptivePolicy, GatePolicy, RolloutPolicy
from modelyard_contracts.signature import Task
from modelyard_devstack.testing import wait_until

from .tasks import Model, Stream

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]

NAME: Final = "e2e-adaptive"
ROUNDS: Final = 6
WITHIN_S: Final = 30.0
"""From a label to weights that every router applied; a machine that other tests share needs a multiple of the 5 s."""


@pytest.fixture(scope="module")
def model(stack_dir: Path) -> Model:
    """Version 1 of one concept, and version 2 of another one, which joined the vote."""
    model = Model(Platform.find(stack_dir), NAME)
    model.train(Stream.make(Task.MULTICLASS, 1_500, shifted=False))
    model.platform.registry.set_policy(NAME, GatePolicy(approval="manual", four_eyes=False))
    model.platform.registry.set_policy(
        NAME, RolloutPolicy(strategy="adaptive", adaptive=AdaptivePolicy(update_every_s=1.0))
    )
    train_again(model, Stream.make(Task.MULTICLASS, 1_500, shifted=True))
    model.platform.registry.approve(NAME, 2, "knows the other concept")
    wait_until(lambda: len(votes(model).members) == 2, 120, every_s=0.2, what="version 2 votes")
    wait_until(lambda: is_applied(model), 60, every_s=0.2, what="the vote is applied")
    return model


def train_again(model: Model, stream: Stream) -> None:
    registry = model.platform.registry
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        schema = stream.write(path)
        digest = registry.put_blob(path)
        columns = {field.name: str(field.type) for field in schema}
        registry.create_dataset(
            digest, f"{NAME}-2", model=NAME, rows=1_500, size_bytes=path.stat().st_size, columns=columns
        )
    body = {"model": NAME, "dataset_digest": digest, "target": stream.target, "time": None, "reason": "other concept"}
    run = model.call("trainer", "POST", "/v1/runs", json={**body, "task": stream.task})
    ended = wait_until(lambda: model.ended_run(run["run_id"]), 240, every_s=0.5, what="the training run")
    assert ended["state"] == "succeeded", ended


def votes(model: Model) -> Votes:
    return model.platform.deployer.votes(NAME)


def weights(model: Model) -> dict[int, float]:
    return {member.version: member.weight for member in votes(model).members}


def is_applied(model: Model) -> bool:
    applied = model.call("deployer", "GET", f"/v1/routes/{NAME}/applied")
    assert applied["refused"] == {}
    return bool(applied["applied"]) and not applied["pending"]


def applied_weights(model: Model) -> dict[int, float]:
    """The weights with which the router answers now."""
    answer = model.predict({"width": 0.5, "height": 0.1, "colour": "red"})
    return {vote["version"]: vote["weight"] for vote in answer.get("votes") or ()}


def test_members_answer_together_and_the_lead_is_the_version(model: Model) -> None:
    def answer() -> Any:
        return model.predict({"width": 0.5, "height": 0.1, "colour": "red"})

    # Version 2 votes first, and leads once the routers have confirmed that.
    wait_until(lambda: answer()["version"] == 2, 60, every_s=0.1, what="version 2 leads")
    assert [vote["version"] for vote in answer()["votes"]] == [2, 1]

    def champion() -> int | None:
        alias = model.platform.registry.alias(NAME, "champion")
        return alias.version if alias else None

    wait_until(lambda: champion() == 2, 60, every_s=0.1, what="the alias follows")


def test_labels_move_the_weights_that_routers_apply(model: Model) -> None:
    took = []
    for number in range(ROUNDS):
        shifted = number % 2 == 0
        before = applied_weights(model)
        model.send(Stream.make(Task.MULTICLASS, 60, shifted=shifted, seed=number), f"adaptive-{number}")
        sent = time.monotonic()
        right = 2 if shifted else 1

        def moved(right: int = right, before: dict[int, float] = before) -> bool:
            return applied_weights(model).get(right, 0.0) > before[right]

        wait_until(moved, WITHIN_S, every_s=0.05, what=f"version {right} gains weight")
        took.append(time.monotonic() - sent)
    print(f"seconds from the last label to weights in use: {[round(one, 2) for one in took]}")
    wait_until(lambda: votes(model).labels == ROUNDS * 60, 60, every_s=0.5, what="each label counts once")
    found = votes(model)
    assert found.against_best is not None
    assert found.against_best.bound_rows is not None
    assert found.against_best.mean_lost_rows <= found.against_best.bound_rows


def test_a_rejected_member_leaves_at_once(model: Model) -> None:
    model.platform.registry.reject(NAME, 1, "contract ended")
    wait_until(lambda: list(weights(model)) == [2], 60, every_s=0.1, what="version 1 left")
    assert votes(model).departed[-1]["reason"] == "rejected in the registry"
    wait_until(lambda: not model.predict({"width": 0.5, "height": 0.1, "colour": "red"}).get("votes"), 60, every_s=0.1)
