"""The tables of earlier revisions, with rows, brought up to date."""

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from modelyard_contracts.manifest import digest_of
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
