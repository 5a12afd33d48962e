"""Models and versions that were made from a data set, a base model or a training run."""

from pathlib import Path

import pytest
from sqlalchemy import text

from modelyard import VersionInfo
from modelyard_contracts.manifest import Source, TrainingLineage
from modelyard_registry.app import Registry
from modelyard_registry.testing import settings_in
from modelyard_runtime.clock import FakeClock

from .conftest import World, manifest_of

DATA = f"sha256:{'d' * 64}"
BASE = f"sha256:{'b' * 64}"
RUN = "0190a6c1-0000-7000-8000-000000000001"


def given(world: World, model: str, dataset: str | None = None, run: str | None = None, base: str = "") -> VersionInfo:
    world.made += 1
    data = f"bytes {world.made}".encode()
    world.client.create_model(model)
    world.client.put_blob(data)
    made = manifest_of(model, m=data).model_copy(
        update={
            "training": TrainingLineage(run_id=run, recipe="r", dataset_digest=dataset),
            "source": Source(kind="hub", format="onnx", base_model=base) if base else None,
        }
    )
    version = world.client.create_version(made, idempotency_key=f"k-{world.made}")
    return world.client.finalize_version(model, version.version)


@pytest.fixture
def lineage(world: World) -> World:
    given(world, "a", DATA, RUN)
    given(world, "a")
    given(world, "b", DATA, "other-run")
    given(world, "c", base=f"smollm@3 ({BASE})")
    given(world, "d", base="org/smollm")
    return world


def test_models_are_found_by_what_one_of_their_versions_was_made_from(lineage: World) -> None:
    def found(**where: str) -> list[str]:
        return [one.name for one in lineage.client.models(**where)]

    assert found(dataset=DATA) == ["a", "b"]
    assert found(dataset=DATA[:-1]) == found(dataset="%") == found(run="nobody") == []
    assert found(run=RUN) == found(run=RUN.replace("-", "")) == ["a"]
    assert found(base_model="smollm") == found(base_model="smollm@3") == found(base_model=BASE) == ["c"]
    assert found(base_model="org/smollm") == ["d"] and found(base_model="smollm@4") == []
    assert found(dataset=DATA, run=RUN) == ["a"] and found(dataset=DATA, base_model="smollm") == []
    assert [one.name for one in lineage.client.search_models("b", dataset=DATA, sort="newest").items] == ["b"]
    facets = lineage.client.get("/v1/models/facets", dataset=DATA)
    assert facets["workspace"] == {"default": 2}
    assert found(dataset="") == ["a", "b", "c", "d"], "an empty filter filters nothing"


def test_both_facts_must_be_of_one_version(on_sqlite: World) -> None:
    given(on_sqlite, "a", DATA, "first")
    given(on_sqlite, "a", None, "second")
    assert on_sqlite.client.models(dataset=DATA, run="second") == ()
    assert [one.name for one in on_sqlite.client.models(dataset=DATA, run="first")] == ["a"]


def test_versions_of_a_model_are_found_by_what_they_were_made_from(lineage: World) -> None:
    assert [one.version for one in lineage.client.versions("a")] == [1, 2]
    assert [one.version for one in lineage.client.versions("a", dataset=DATA)] == [1]
    assert [one.version for one in lineage.client.versions("a", dataset=DATA, run=RUN)] == [1]
    assert lineage.client.versions("a", run="other-run") == ()
    assert [one.version for one in lineage.client.versions("c", base_model="smollm@3")] == [1]


def test_the_migration_finds_the_lineage_of_versions_that_exist(on_sqlite: World, tmp_path: Path) -> None:
    given(on_sqlite, "a", DATA, RUN)
    given(on_sqlite, "c", base=f"smollm@3 ({BASE})")
    database = on_sqlite.registry.database
    with database.engine.begin() as connection:
        before = sorted(map(tuple, connection.execute(text("SELECT * FROM version_lineage"))))
        for statement in ("DROP TABLE version_lineage", "DROP TABLE connections"):
            connection.execute(text(statement))
        connection.execute(text("UPDATE alembic_version SET version_num = '0005'"))
    again = Registry(settings_in(tmp_path), FakeClock())
    again.prepare()
    with again.database.engine.begin() as connection:
        after = sorted(map(tuple, connection.execute(text("SELECT * FROM version_lineage"))))
    again.database.close()
    assert after == before and len(before) == 5
