"""How long routes wait: longer where a version answers texts, unless a time is stated."""

from pathlib import Path

import pytest

from modelyard_contracts import RolloutAction, RolloutStrategy, VersionStage
from modelyard_contracts.policies import TEXT_TIMEOUT_MS, RolloutPolicy
from modelyard_contracts.routes import TIMEOUT_MS, RouteSpec
from modelyard_contracts.signature import Task
from modelyard_deployer.usecases.routes import set_route
from modelyard_devstack.testing.openai import bought_manifest

from .conftest import MODEL, World, a_manifest
from .test_routes import tables


@pytest.mark.parametrize("task", [Task.TEXT, Task.EMBEDDING])
def test_models_of_providers_wait_longer_unless_the_policy_has_another_time(tmp_path: Path, task: Task) -> None:
    bought = bought_manifest(tmp_path, "openai", task)
    assert RolloutPolicy().waiting_ms(bought) == TEXT_TIMEOUT_MS
    assert RolloutPolicy(timeout_ms=500).waiting_ms(bought) == 500
    assert RolloutPolicy().waiting_ms(a_manifest()) == TIMEOUT_MS
    local = bought_manifest(tmp_path, "openai").model_copy(update={"flavour": "transformers"})
    assert RolloutPolicy().waiting_ms(local) == TEXT_TIMEOUT_MS


def test_the_route_of_a_tabular_model_waits_as_before(world: World) -> None:
    world.given_serving(1)
    assert tables(world, MODEL)[-1].timeout_ms == TIMEOUT_MS
    set_route(world.deps, "other", RouteSpec.model_validate({"root": {"kind": "model", "model": MODEL}}))
    world.settle()
    assert tables(world, "other")[-1].timeout_ms == TIMEOUT_MS


def test_routes_of_a_version_that_answers_texts_wait_longer(world: World, tmp_path: Path) -> None:
    manifest = bought_manifest(tmp_path, "openai").model_copy(update={"model": MODEL, "flavour": "transformers"})
    manifest = manifest.model_copy(update={"options": {}, "permissions": a_manifest().permissions})
    files = {"api.json": (tmp_path / "api.json").read_bytes()}
    number = world.registry.given_version(manifest, files, VersionStage.APPROVED)
    world.request(RolloutAction.START, number, strategy=RolloutStrategy.FULL)
    world.settle()
    assert tables(world, MODEL)[-1].timeout_ms == TEXT_TIMEOUT_MS
    world.routers_apply()
    world.settle()
    leaf = {"kind": "model", "model": MODEL}
    for name, stated, expected in (("open", {}, TEXT_TIMEOUT_MS), ("stated", {"timeout_ms": TIMEOUT_MS}, TIMEOUT_MS)):
        set_route(world.deps, name, RouteSpec.model_validate({"root": leaf, **stated}))
        world.settle()
        assert tables(world, name)[-1].timeout_ms == expected
