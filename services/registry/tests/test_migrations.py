"""The migrations and the tables that the code believes in are the same."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from modelyard_registry.app import Registry
from modelyard_registry.store.tables import METADATA
from modelyard_registry.testing import settings_in
from modelyard_runtime.clock import FakeClock


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    more = {} if request.param == "sqlite" else {"database_url": request.getfixturevalue("postgres_url")}
    return Registry(settings_in(tmp_path, **more), FakeClock())


def test_the_migrations_make_the_tables_of_the_code(registry: Registry) -> None:
    registry.prepare()
    with registry.database.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    registry.database.close()
    # The index over unsent rows is partial; SQLite's reflection does not show the condition it was compared with.
    assert [one for one in differences if "outbox_unsent" not in str(one)] == []


def test_a_second_start_changes_nothing(registry: Registry) -> None:
    registry.prepare()
    before = _subjects(registry)
    registry.prepare()
    after = _subjects(registry)
    registry.database.close()
    assert after == before and len(before) >= 14


def _subjects(registry: Registry) -> list[tuple[str, object]]:
    with registry.deps.storage.read() as records:
        names = records.subjects.names(deleted=True)
        return [(name, records.subjects.versions(name, deleted=True)) for name in names]
