"""Online learners on real services: labels in, versions out, which replace one another in the vote."""

import time
from pathlib import Path
from typing import Final

import pytest

from modelyard import OnlineLearner
from modelyard_cli.context import Platform
from modelyard_contracts.manifest import learner_of
from modelyard_contracts.policies import AdaptivePolicy, RetrainPolicy, RolloutPolicy
from modelyard_contracts.signature import Task
from modelyard_devstack.testing import wait_until

from .tasks import Model, Stream

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(600)]

NAME: Final = "e2e-online"


@pytest.fixture(scope="module")
def model(stack_dir: Path) -> Model:
    """An adaptive model whose two learners began with the training rows of version 1."""
    model = Model(Platform.find(stack_dir), NAME)
    model.train(Stream.make(Task.MULTICLASS, 1_500, shifted=False))
    registry = model.platform.registry
    registry.set_policy(NAME, RolloutPolicy(strategy="adaptive", adaptive=AdaptivePolicy(update_every_s=1.0)))
    registry.set_policy(NAME, RetrainPolicy(enabled=False, online=("forest", "linear"), publish_every_rows=100))
    wait_until(lambda: len(found(model)) == 2, 60, every_s=0.5, what="both learners")
    model.send(Stream.make(Task.MULTICLASS, 120, shifted=False, seed=4), "online-first")
    wait_until(lambda: all(one.version for one in found(model)), 180, every_s=0.5, what="first snapshots")
    return model


def found(model: Model) -> tuple[OnlineLearner, ...]:
    return model.platform.trainer.learners(NAME)


def voting(model: Model) -> dict[str, int]:
    """Learner to the version of it that votes."""
    members = model.platform.deployer.votes(NAME).members
    learners = {one.version: learner_of(model.platform.registry.manifest(NAME, one.version)) for one in members}
    return {learner: version for version, learner in learners.items() if learner}


def champion(model: Model) -> str | None:
    """Learner that the champion is a snapshot of: a newer snapshot of the same one may take its place."""
    alias = model.platform.registry.alias(NAME, "champion")
    assert alias is not None
    return learner_of(model.platform.registry.manifest(NAME, alias.version))


def test_the_first_snapshots_join_the_vote(model: Model) -> None:
    wait_until(lambda: set(voting(model)) == {"forest", "linear"}, 120, every_s=0.5, what="both learners vote")
    assert {run.recipe for run in model.platform.trainer.runs(NAME)} != {"incremental"}
    assert len(model.platform.trainer.runs(NAME)) == 1  # an update is no training run


def test_labels_become_a_snapshot_that_takes_the_place_of_the_older_one(model: Model) -> None:
    wait_until(lambda: set(voting(model)) == {"forest", "linear"}, 60, every_s=0.5, what="both learners vote")
    before, learned = voting(model), {one.learner: one.learned_rows for one in found(model)}
    leads = champion(model)
    model.send(Stream.make(Task.MULTICLASS, 120, shifted=True, seed=5), "online")
    sent = time.monotonic()
    wait_until(lambda: all(one.learned_rows == learned[one.learner] + 120 for one in found(model)), 90, what="learned")
    took_learn = time.monotonic() - sent
    wait_until(lambda: all(one.version > before[one.learner] for one in found(model) if one.version), 60)
    took_publish = time.monotonic() - sent
    wait_until(
        lambda: all(version > before[name] for name, version in voting(model).items()), 240, what="new snapshots vote"
    )
    print(f"seconds from the last label: learned {took_learn:.1f}, published {took_publish:.1f}, "
          f"votes {time.monotonic() - sent:.1f}")  # fmt: skip
    assert len(voting(model)) == 2
    assert champion(model) == leads


def test_a_learner_that_the_policy_no_longer_names_stops(model: Model) -> None:
    model.platform.registry.set_policy(NAME, RetrainPolicy(enabled=False, online=("linear",), publish_every_rows=100))
    wait_until(lambda: {one.learner: one.state for one in found(model)}["forest"] == "stopped", 60)
    assert {one.learner: one.state for one in found(model)}["linear"] == "running"
