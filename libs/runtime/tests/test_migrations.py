"""Migrations at the start: two processes at once, all or nothing, a database newer than the code."""

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from modelyard_runtime.database import migrate, open_engine
from modelyard_runtime.errors import StartupError

FIRST = """
from alembic import op
import sqlalchemy as sa
from modelyard_runtime.database import create_runtime_tables
revision, down_revision = "0001", None
def upgrade():
    create_runtime_tables(op.get_bind())
    op.create_table("things", sa.Column("name", sa.Text, primary_key=True))
def downgrade():
    op.drop_table("things")
"""
SECOND = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = "0002", "0001"
def upgrade():
    op.add_column("things", sa.Column("size", sa.Integer))
    {more}
def downgrade():
    op.drop_column("things", "size")
"""


@pytest.fixture
def package(tmp_path: Path, unique: str) -> Iterator[tuple[str, Path]]:
    name = f"migrated_{unique}"
    versions = tmp_path / "packages" / name / "migrations" / "versions"
    versions.mkdir(parents=True)
    (versions.parents[1] / "__init__.py").touch()
    (versions / "v0001_first.py").write_text(FIRST)
    sys.path.insert(0, str(tmp_path / "packages"))
    importlib.invalidate_caches()
    yield f"{name}:migrations", versions
    sys.path.remove(str(tmp_path / "packages"))


def test_a_start_brings_the_database_to_the_newest_revision(database_url: str, package: tuple[str, Path]) -> None:
    where, versions = package
    engine = open_engine(database_url)
    migrate(engine, where)
    assert {"outbox", "inbox", "things"} <= set(inspect(engine).get_table_names())

    (versions / "v0002_second.py").write_text(SECOND.format(more=""))
    migrate(engine, where)
    migrate(engine, where)
    assert [column["name"] for column in inspect(engine).get_columns("things")] == ["name", "size"]
    engine.dispose()


def test_processes_that_start_together_migrate_once(database_url: str, package: tuple[str, Path]) -> None:
    errors: list[BaseException] = []
    together = threading.Barrier(3)

    def start() -> None:
        engine = open_engine(database_url)
        together.wait()
        try:
            migrate(engine, package[0])
        except BaseException as error:
            errors.append(error)
        engine.dispose()

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


def test_a_failing_revision_leaves_nothing_behind(database_url: str, package: tuple[str, Path]) -> None:
    where, versions = package
    engine = open_engine(database_url)
    migrate(engine, where)
    (versions / "v0002_second.py").write_text(SECOND.format(more='op.execute("nonsense")'))
    with pytest.raises(Exception, match="nonsense"):
        migrate(engine, where)
    assert [column["name"] for column in inspect(engine).get_columns("things")] == ["name"]
    engine.dispose()


def test_a_database_newer_than_the_release_is_refused_in_words(database_url: str, package: tuple[str, Path]) -> None:
    engine = open_engine(database_url)
    migrate(engine, package[0])
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StartupError, match="newer than this release"):
        migrate(engine, package[0])
    engine.dispose()
