"""The tables of earlier revisions, with rows, brought up to date."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from modelyard_contracts.manifest import digest_of
from modelyard_deployer.domain.votes import Vote
from modelyard_deployer.domain.workloads import VersionKey
from modelyard_deployer.store.records import SqlStore
from modelyard_runtime.clock import FakeClock
from modelyard_runtime.database import Database, migrate, open_engine

DATA = (Path(__file__).parents[3] / "libs/contracts/tests/golden/0.2/manifest-binary.json").read_bytes()
MANIFEST: dict[str, Any] = json.loads(DATA)


def test_routes_and_versions_of_the_first_revisions_are_kept(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/old.db")
    _upgrade(engine, "0002")
    route = {"name": "churn", "model": "churn", "salt": "abc", "sequence": 7, "champion": 2, "history": [1]}
    version = {"model": "churn", "version": 2, "digest": digest_of(DATA), "stage": "live", "manifest": MANIFEST}
    with engine.begin() as db:
        db.execute(
            sa.text("INSERT INTO routes VALUES ('churn', 'churn', 7, :document)"), {"document": json.dumps(route)}
        )
        db.execute(sa.text("INSERT INTO versions VALUES ('churn', 2, :document)"), {"document": json.dumps(version)})
    migrate(engine, "modelyard_deployer:migrations")

    database = Database(engine, FakeClock())
    with SqlStore(database).read() as records:
        [kept] = records.routes.of_model("churn")
        serving, stored = records.serving.get("churn"), records.versions.get(VersionKey("churn", 2))
    assert (kept.name, kept.salt, kept.sequence, kept.own, kept.plan) == ("churn", "abc", 7, True, "")
    assert kept.managed == {"churn"}
    assert serving is not None
    assert stored is not None
    assert (serving.champion, serving.history, serving.previous) == (2, (1,), 1)
    assert (stored.digest, stored.stage, stored.file.data) == (digest_of(DATA), "live", DATA)
    database.close()


def test_an_active_rollout_of_the_release_before_continues(tmp_path: Path) -> None:
    """Its policy has no `supersede`, and there is no table of comparisons."""
    engine = open_engine(f"sqlite:///{tmp_path}/old.db")
    _upgrade(engine, "0004")
    policy = {"schema_version": 1, "min_release": "0.2", "strategy": "canary", "min_samples": 7}
    moment = "2026-11-20T09:30:00Z"
    document = {"id": str(UUID(int=1)), "model": "churn", "kind": "start", "to_version": 2, "route": "churn"}
    document |= {"correlation_id": str(UUID(int=2)), "requested_by": "registry", "state": "shifting", "step": 1}
    document |= {"created_at": moment, "changed_at": moment, "from_version": 1, "policy": policy, "strategy": "canary"}
    row = {"id": UUID(int=1).hex, "at": moment, "document": json.dumps(document)}
    with engine.begin() as db:
        db.execute(
            sa.text(
                "INSERT INTO rollouts (id, model, state, created_at, writes, document, abort_against) "
                "VALUES (:id, 'churn', 'shifting', :at, 3, :document, 0)"
            ),
            row,
        )
    migrate(engine, "modelyard_deployer:migrations")

    database = Database(engine, FakeClock())
    with SqlStore(database).write() as records:
        [kept] = records.rollouts.open("churn")
        found = records.comparisons.among("churn", {1, 2, 3})
    assert (kept.to_version, kept.writes, kept.policy.min_samples, kept.policy.supersede) == (2, 3, 7, "newer_better")
    assert found == {}
    database.close()


def test_a_model_of_the_release_before_has_no_vote_until_it_is_adaptive(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/old.db")
    _upgrade(engine, "0005")
    policy = {"schema_version": 1, "min_release": "0.2", "strategy": "canary"}
    document = {"model": "churn", "route": "churn", "champion": 2, "history": [1], "policy": policy}
    with engine.begin() as db:
        db.execute(sa.text("INSERT INTO serving VALUES ('churn', 4, :document)"), {"document": json.dumps(document)})
    migrate(engine, "modelyard_deployer:migrations")

    database = Database(engine, FakeClock())
    with SqlStore(database).write() as records:
        serving = records.serving.get("churn")
        assert serving is not None
        assert (serving.policy.strategy, serving.policy_changed, records.votes.all()) == ("canary", False, [])
        records.votes.save(None, Vote("churn", cursor="c"))
    with SqlStore(database).read() as records:
        assert records.votes.get("churn") == Vote("churn", cursor="c")
    database.close()


def _upgrade(engine: sa.Engine, revision: str) -> None:
    """Apply the revisions up to `revision`."""
    config = Config()
    config.set_main_option("script_location", "modelyard_deployer:migrations")
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection)
        with Operations.context(context):
            for step in reversed(list(script.iterate_revisions(revision, "base"))):
                step.module.upgrade()
        context.stamp(script, revision)
