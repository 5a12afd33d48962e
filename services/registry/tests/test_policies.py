from datetime import UTC, datetime
from typing import Any

import pytest

from modelyard import ApiError
from modelyard.switching import set_switched, switch_of
from modelyard_contracts import ResourceChange
from modelyard_contracts.policies import GatePolicy, RetrainPolicy, RolloutPolicy

from .conftest import World


def test_the_default_is_revision_zero(world: World) -> None:
    world.client.create_model("elec")
    for kind, default in (("gate", GatePolicy()), ("retrain", RetrainPolicy()), ("rollout", RolloutPolicy())):
        info = world.client.policy_info("elec", kind)
        assert (info.revision, info.document) == (0, default.model_dump(mode="json"))


def test_each_change_is_a_new_revision_and_is_published(world: World) -> None:
    world.client.create_model("elec")
    for min_rows in (400, 500):
        world.client.set_policy("elec", GatePolicy(min_rows=min_rows), reason="more evidence")
    assert world.client.policy("elec", "gate").min_rows == 500
    assert world.client.policy_info("elec", "gate").revision == 2
    published = [event for event in world.queued() if event.change is ResourceChange.POLICY_CHANGED]
    assert [(event.policy, event.revision, event.reason) for event in published] == [
        ("gate", 2, "more evidence"),
        ("gate", 3, "more evidence"),
    ]


def test_an_equal_document_changes_nothing(world: World) -> None:
    world.client.create_model("elec")
    world.client.set_policy("elec", RolloutPolicy(min_samples=7))
    published = len(world.queued())
    assert world.client.set_policy("elec", RolloutPolicy(min_samples=7)).revision == 1
    assert len(world.queued()) == published


def test_a_change_from_an_old_revision_is_refused_naming_the_current_one(world: World) -> None:
    world.client.create_model("elec")
    world.client.set_policy("elec", GatePolicy(min_rows=400), expected_revision=0)
    with pytest.raises(ApiError, match="revision 1, not 0") as refused:
        world.client.set_policy("elec", GatePolicy(min_rows=500), expected_revision=0)
    assert (refused.value.status, refused.value.code) == (409, "stale_revision")


def test_a_switch_sets_what_differs_over_the_revisions_that_were_seen_and_goes_on_after_a_stop(world: World) -> None:
    no_monitor: Any = None  # it is asked about models with a version only
    world.client.create_model("elec")
    world.client.set_policy("elec", GatePolicy(approval="manual", min_rows=400))
    wanted = {
        "gate": GatePolicy(),
        "retrain": RetrainPolicy(growth=2),
        "rollout": RolloutPolicy(strategy="adaptive"),
    }

    def seen() -> Any:
        return switch_of(world.client, no_monitor, "elec", wanted, datetime.now(UTC))

    first = seen()
    assert [(one.kind, one.revision) for one in first.changed] == [("gate", 1), ("retrain", 0), ("rollout", 0)]
    world.client.set_policy("elec", RetrainPolicy(cool_down_s=7), expected_revision=0)
    with pytest.raises(ApiError, match="retrain policy is at revision 1, not 0"):
        set_switched(world.client, first, "proved")
    second = seen()
    assert [one.kind for one in second.changed] == ["retrain", "rollout"], "the gate was set before the conflict"
    assert [one.revision for one in set_switched(world.client, second, "proved")] == [2, 1]
    assert seen().changed == ()
    assert world.client.policy("elec", "gate") == GatePolicy(approval="manual")
    assert world.client.policy("elec", "rollout").strategy == "adaptive"
    assert [one.reason for one in world.client.policy_history("elec", "retrain")] == ["proved", ""]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"approval": "sometimes"}, "document.approval"),
        ({"min_rows": 1}, "document.min_rows"),
        ({"confidence": 2}, "document.confidence"),
        ({"surprise": 1}, "document.surprise"),
        ([], "document"),
    ],
)
def test_a_bad_document_is_refused_with_the_field_named(on_sqlite: World, document: object, field: str) -> None:
    on_sqlite.client.create_model("elec")
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.request("PUT", "/v1/models/elec/policies/gate", json={"document": document})
    assert (refused.value.status, refused.value.field) == (422, field)


def test_history_is_paged(world: World) -> None:
    world.client.create_model("elec")
    for min_rows in range(400, 405):
        world.client.set_policy("elec", GatePolicy(min_rows=min_rows))
    page = world.client.get("/v1/models/elec/history", limit=4, after=1)
    assert ([entry["position"] for entry in page["items"]], page["next_after"]) == ([2, 3, 4, 5], 5)
    assert [entry.position for entry in world.client.history("elec", after=4)] == [5, 6]
