"""The policy starts and stops learners; their snapshots become versions; a process that dies is started again."""

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard_contracts import VersionStage
from modelyard_contracts.manifest import learner_of
from modelyard_contracts.policies import RetrainPolicy
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task, new_schema_id
from modelyard_devstack.testing import wait_until
from modelyard_trainer.domain.learners import Learner
from modelyard_trainer.jobs.processes import Workers
from modelyard_trainer.online.export import export
from modelyard_trainer.online.labels import Cursor, LabelledRow
from modelyard_trainer.online.state import Identity, LearnerState
from modelyard_trainer.online.supervisor import LearnerSupervisor
from modelyard_trainer.store.learners import LearnerStore
from modelyard_trainer.usecases import follow_policy

from .helpers.data import START, training_signature
from .helpers.world import World

NOWHERE = {"url": "http://127.0.0.1:1", "user": "reader", "database": "ml"}


class Online:
    """Learners of the world's trainer; their processes find no ClickHouse and wait for it."""

    def __init__(self, world: World, module: str = "modelyard_trainer.online") -> None:
        self.world = world
        self.store = LearnerStore(world.database)
        self.workers = Workers(world.folder / "learners", {}, module=module)
        self.supervisor = LearnerSupervisor(self.store, world.gateway, self.workers, NOWHERE, world.clock)

    def policy(self, *online: Any, **changed: Any) -> None:
        self.world.client.set_policy("shifts", RetrainPolicy(online=online, **changed))
        follow_policy(self.world.gateway, self.store, "shifts")

    def tick(self, after_s: float = 0.0) -> Learner:
        self.world.clock.advance(after_s)
        self.supervisor.tick()
        return self.learner

    @property
    def learner(self) -> Learner:
        return self.store.of("shifts")[0]

    @property
    def alive(self) -> bool:
        return self.workers.alive(self.learner.id)

    def pid(self) -> int:
        """The process, once it has locked its folder."""
        run_dir = self.workers.dir_of(self.learner.id)
        wait_until(lambda: run_dir.holder)
        return int(run_dir.holder or 0)

    def judged(self, version: int) -> None:
        """A verdict on a version arrives at the registry."""
        self.world.client.approve("shifts", version, "by the test")

    def given_snapshot(self, rows: int, signature: Signature | None = None) -> None:
        """As the learner's process writes it."""
        signature = signature or training_signature()
        state = LearnerState(Identity("shifts", "linear", new_schema_id(signature)), signature, Cursor())
        rng = np.random.default_rng(rows)
        for number in range(rows):
            x = float(rng.normal())
            state.learn(LabelledRow((x, 0.0), ("a",), int(x > 0), START + timedelta(seconds=number)))
        fitted = state.snapshot()
        assert fitted is not None
        export(state, fitted, None, self.workers.dir_of(self.learner.id).path / "out" / f"{rows:012d}", 1)


@pytest.fixture
def online(world: World) -> Iterator[Online]:
    found = Online(world)
    yield found
    for learner in found.store.of():
        found.workers.kill(learner.id)
    found.workers.kill_all()


@pytest.mark.process
def test_the_policy_starts_and_stops_a_learner(online: Online) -> None:
    online.policy("linear")
    assert "first version" in online.tick().reason
    assert not online.alive

    online.world.given_version()
    online.tick(after_s=1)
    assert online.alive
    first = online.pid()
    online.tick(after_s=60)
    assert online.pid() == first  # ClickHouse is away: it waits

    online.policy()
    online.tick()
    assert not online.alive
    online.policy("linear")
    online.tick()
    assert online.pid() != first


@pytest.mark.process
def test_a_killed_process_is_started_again_and_one_that_always_dies_less_and_less_often(online: Online) -> None:
    online.policy("linear")
    online.world.given_version()
    pauses = []
    for _ in range(4):
        online.tick(after_s=400)
        os.killpg(online.pid(), signal.SIGKILL)
        wait_until(lambda: not online.alive)
        learner = online.tick()
        assert learner.retry_at is not None
        pauses.append((learner.retry_at - online.world.clock()).total_seconds())
        assert not online.alive
        assert learner.reason
    assert pauses == [1, 2, 4, 8]


@pytest.mark.process
def test_a_service_that_was_killed_finds_the_living_process(online: Online) -> None:
    online.policy("linear")
    online.world.given_version()
    online.tick()
    before = online.pid()
    again = Online(online.world)
    again.tick()
    assert again.pid() == before
    again.workers.kill_all()
    assert not again.alive, "it ends with the service, whichever process started it"


@pytest.mark.process
def test_another_signature_starts_the_process_anew(online: Online) -> None:
    online.policy("linear")
    online.world.given_version()
    online.tick()
    before = online.pid()
    old = training_signature()
    online.world.given_version(signature=old.model_copy(update={"columns": (*old.columns, Column(name="z"))}))
    online.tick(after_s=11)
    assert online.pid() != before


def test_snapshots_become_versions_and_old_ones_are_retired(online: Online) -> None:
    online.policy("linear")
    online.world.given_version()
    for rows in (300, 600, 900, 1_200, 1_500):
        online.given_snapshot(rows)
        learner = online.tick()
        online.judged(learner.versions[-1])
    assert learner.versions == (4, 5, 6)
    assert learner.published_rows == 1_500
    stages = {one.version: one.stage for one in online.world.client.versions("shifts")}
    assert {version for version, stage in stages.items() if stage is VersionStage.RETIRED} == {2, 3}
    manifest = online.world.client.manifest("shifts", 6)
    assert learner_of(manifest) == "linear"
    assert online.world.published() == []  # an update is no training run


def test_a_snapshot_waits_for_the_verdict_on_the_one_before_it(online: Online) -> None:
    online.policy("linear", publish_every_rows=300)
    online.world.given_version()
    online.given_snapshot(300)
    assert online.tick().versions == (2,)
    for rows in (600, 900):
        online.given_snapshot(rows)
        assert online.tick().versions == (2,)
    online.judged(2)
    learner = online.tick()
    assert (learner.versions, learner.published_rows) == ((2, 3), 900)  # 600 is out of date
    online.given_snapshot(900 + 10 * 300)  # the comparison of version 3 stays open for long
    assert online.tick().versions == (2, 3, 4)


def test_only_the_newest_of_several_snapshots_is_registered_and_a_repeat_is_the_same_version(online: Online) -> None:
    online.policy("linear")
    online.world.given_version()
    online.given_snapshot(300)
    online.given_snapshot(600)
    assert online.tick().versions == (2,)
    online.given_snapshot(600)  # the service died before it could forget the folder
    assert online.tick().versions == (2,)
    assert len(online.world.client.versions("shifts")) == 2


def test_a_serving_snapshot_stays_and_a_retraining_takes_over_from_its_base(online: Online) -> None:
    online.policy("linear")
    base = online.world.given_version(dataset=online.world.dataset, stage=VersionStage.APPROVED)
    online.given_snapshot(300)
    online.tick()
    served = online.world.gateway.served("shifts")
    assert served is not None
    assert (served.version, served.dataset_digest) == (base, online.world.dataset)


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (
            Signature(
                columns=(Column(name="note", type=ColumnType.TEXT), Column(name="x")),
                output=Output(task=Task.BINARY, classes=("n", "y")),
            ),
            "text columns",
        ),
        (
            Signature(
                input="text",
                columns=(Column(name="text", type=ColumnType.TEXT),),
                output=Output(task=Task.BINARY, classes=("n", "y")),
            ),
            "not text",
        ),
    ],
    ids=["text column", "text input"],
)
def test_texts_have_no_learner_and_the_reason_is_visible(online: Online, signature: Signature, words: str) -> None:
    online.policy("linear")
    online.world.given_version(signature=signature)
    assert words in online.tick().reason
    assert not online.alive


def test_a_damaged_snapshot_is_dropped_and_the_next_one_is_published(online: Online, tmp_path: Path) -> None:
    online.policy("linear")
    online.world.given_version()
    online.given_snapshot(300)
    folder = online.workers.dir_of(online.learner.id).path / "out" / f"{300:012d}"
    (folder / "model" / "encoding.json").write_text("{}")
    online.tick()
    assert not list(folder.parent.iterdir())
    online.given_snapshot(600)
    assert online.tick().published_rows == 600
