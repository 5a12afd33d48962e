"""Versions that have files or tensors of one another are found at registration."""

import pytest

from modelyard import ApiError
from modelyard_contracts import VersionStage
from modelyard_contracts.example import EXAMPLE_FILE

from .conftest import World, manifest_of
from .test_diff import register, tensor


def given(world: World) -> None:
    """elec@1; acme:copy@1 with the same file; tuned@1 with three of four equal tensor bytes."""
    world.client.post("/v1/workspaces", {"name": "acme"})
    world.rules.tensors_of[b"base"] = [tensor("body", "a", 300), tensor("classifier.w", "b")]
    world.rules.tensors_of[b"tuned"] = [tensor("net.body", "a", 300), tensor("classifier.w", "B")]
    for model, data in (("elec", b"base"), ("acme:copy", b"base"), ("tuned", b"tuned"), ("other", b"other")):
        register(world, manifest_of(model, m=data), m=data)


def test_the_answer_of_finalize_names_what_the_version_resembles(world: World) -> None:
    given(world)
    assert world.client.version("elec", 1).resembles[0] == "identical to acme:copy@1"
    assert world.client.version("other", 1).resembles == ()
    assert world.client.finalize_version("tuned", 1).resembles == (
        "75% of the tensor bytes of acme:copy@1, differs in classifier.w",
        "75% of the tensor bytes of elec@1, differs in classifier.w",
    )


def test_a_resemblance_has_shares_and_groups(on_sqlite: World) -> None:
    given(on_sqlite)
    first, second = on_sqlite.client.resemblance("elec", 1)
    assert (first.model, first.version, first.identical, first.shared_files) == ("acme:copy", 1, True, 1)
    assert second.tensors is not None
    assert (second.model, second.identical, second.tensors.identical_share) == ("tuned", False, 0.75)


def test_versions_that_the_caller_may_not_read_are_not_named(on_sqlite: World) -> None:
    given(on_sqlite)
    viewer = on_sqlite.client_with(on_sqlite.key("viewer"))
    assert [one.model for one in viewer.resemblance("elec", 1)] == ["tuned"]
    assert "acme" not in str(viewer.version("elec", 1).resembles)


@pytest.mark.parametrize("model", ["copy", "acme:copy2"])
def test_a_gate_policy_refuses_copies_of_other_models(world: World, model: str) -> None:
    given(world)
    world.client.create_model(model)
    policy = world.client.policy(model, "gate")
    assert policy.resemblance == "warn"
    world.client.set_policy(model, policy.model_copy(update={"resemblance": "refuse"}))
    with pytest.raises(ApiError) as refused:
        register(world, manifest_of(model, m=b"base"), m=b"base")
    assert (refused.value.status, refused.value.code) == (409, "resembles_another")
    assert world.client.version(model, 1).stage is VersionStage.PENDING
    world.client.set_policy(model, policy)
    assert world.client.finalize_version(model, 1).stage is VersionStage.REGISTERED


def test_the_refusal_does_not_name_models_of_other_workspaces(on_sqlite: World) -> None:
    on_sqlite.client.post("/v1/workspaces", {"name": "acme"})
    register(on_sqlite, manifest_of("elec", m=b"base"), m=b"base")
    on_sqlite.client.create_model("acme:copy")
    policy = on_sqlite.client.policy("acme:copy", "gate").model_copy(update={"resemblance": "refuse"})
    on_sqlite.client.set_policy("acme:copy", policy)
    with pytest.raises(ApiError, match="a version of a model in another workspace") as refused:
        register(on_sqlite, manifest_of("acme:copy", m=b"base"), m=b"base")
    assert "elec" not in refused.value.detail


def test_the_example_that_a_registration_makes_is_no_resemblance(world: World) -> None:
    """Equal samples give equal examples; equal models stay identical when their samples differ."""
    for model, data, example in (("a", b"one", b"e" * 99), ("b", b"two", b"e" * 99), ("c", b"one", b"f" * 99)):
        world.client.create_model(model)
        files = {"m": data, EXAMPLE_FILE: example}
        for content in files.values():
            world.client.put_blob(content)
        made = world.client.create_version(manifest_of(model, **files), idempotency_key=model)
        world.client.finalize_version(model, made.version)
    assert world.client.resemblance("b", 1) == ()
    [same] = world.client.resemblance("a", 1)
    assert (same.model, same.identical) == ("c", True)
