"""Policies in the place of others: what stays, what changes, what fits a model, at which pace."""

from typing import Any

import pytest

from modelyard_contracts.documents import NewerDocument
from modelyard_contracts.policies import (
    CENTURY_S,
    POLICIES,
    AdaptivePolicy,
    GatePolicy,
    Policy,
    RetrainPolicy,
    RolloutPolicy,
)
from modelyard_contracts.policy_changes import (
    KEPT,
    WAITS,
    FieldChange,
    UnfitPolicy,
    at_pace,
    check_fit,
    checked,
    differences,
    in_force,
    kept,
    merged,
)
from modelyard_contracts.signature import Column, ColumnType, Output, Signature, Task

DEFAULTS: dict[str, Policy] = {"gate": GatePolicy(), "retrain": RetrainPolicy(), "rollout": RolloutPolicy()}
CAREFUL: dict[str, dict[str, Any]] = {
    "gate": {"approval": "manual", "four_eyes": False, "resemblance": "refuse"},
    "retrain": {"recipe": "trees", "parameters": {"depth": "3"}},
    "rollout": {"route": "shop", "timeout_ms": 150},
}
"""Another value than the default for each field that is kept."""


def signature(task: Task = Task.BINARY, column: ColumnType = ColumnType.NUMBER) -> Signature:
    classes = {Task.BINARY: ("no", "yes"), Task.MULTICLASS: ("a", "b", "c")}.get(task, ())
    dimension = 4 if task is Task.EMBEDDING else None
    columns = (Column(name="a", type=column),)
    return Signature(columns=columns, output=Output(task=task, classes=classes, dimension=dimension))


@pytest.mark.parametrize("kind", POLICIES)
def test_what_decides_about_people_addresses_and_trainings_stays(kind: str) -> None:
    before = POLICIES[kind].model_validate(CAREFUL[kind])
    assert set(CAREFUL[kind]) == set(KEPT[kind])
    after = merged(kind, DEFAULTS[kind], before)
    assert after == before
    assert {one.path for one in kept(kind, DEFAULTS[kind], before)} == set(KEPT[kind])


@pytest.mark.parametrize("kind", POLICIES)
def test_a_named_field_changes_and_the_others_stay(kind: str) -> None:
    first, *others = KEPT[kind]
    before, wanted = POLICIES[kind].model_validate(CAREFUL[kind]), DEFAULTS[kind]
    after = merged(kind, wanted, before, {first})
    assert [one.path for one in differences(before, after)] == [first]
    assert {one.path for one in kept(kind, wanted, before, {first})} == set(others)


def test_only_fields_that_differ_are_changes_and_nested_ones_are_named() -> None:
    before = RolloutPolicy()
    after = RolloutPolicy(strategy="adaptive", adaptive=AdaptivePolicy(members=9))
    assert differences(before, after) == (
        FieldChange("strategy", "canary", "adaptive"),
        FieldChange("adaptive.members", 5, 9),
    )
    assert differences(before, before) == ()
    changed = differences(RetrainPolicy(), RetrainPolicy(parameters={"a": "1"}, windows=("all",)))
    assert [(one.path, one.before, one.after) for one in changed] == [
        ("windows", ["recent"], ["all"]),
        ("parameters", {}, {"a": "1"}),
    ]


def test_a_policy_that_contradicts_what_is_kept_names_field_and_remedy() -> None:
    wanted, before = GatePolicy(inconclusive="live_share"), GatePolicy(approval="manual")
    with pytest.raises(UnfitPolicy, match=r"(?s)gate: inconclusive: .*keeps approval manual.*policy file") as refused:
        merged("gate", wanted, before)
    assert refused.value.field == "gate"
    assert merged("gate", wanted, before, {"approval"}) == wanted


def test_fields_of_a_newer_release_are_named_instead_of_lost() -> None:
    newer = {**GatePolicy().model_dump(mode="json"), "colour": "red"}
    with pytest.raises(UnfitPolicy, match=r"gate\.colour: is set by a newer release"):
        in_force("gate", newer)
    nested = RolloutPolicy().model_dump(mode="json")
    nested["adaptive"]["colour"] = "red"
    with pytest.raises(UnfitPolicy, match=r"rollout\.adaptive\.colour"):
        in_force("rollout", nested)
    with pytest.raises(NewerDocument):
        in_force("gate", {"schema_version": 2})
    assert in_force("gate", {"min_rows": 60}) == GatePolicy(min_rows=60), "an old document without newer fields"


def test_waits_count_as_many_rows_at_another_pace() -> None:
    given: dict[str, Policy] = {
        "gate": GatePolicy(max_open_s=1_800),
        "retrain": RetrainPolicy(cool_down_s=3_600, every_s=7_200),
        "rollout": RolloutPolicy(min_step_s=1_800, max_hold_s=18_000, keep_warm_s=60),
    }
    found = at_pace(given, 1_800, 60)
    waits = [getattr(found[kind], name) for kind, names in WAITS.items() for name in names]
    assert waits == pytest.approx([60, 120, 240, 60, 600])
    assert found["rollout"].model_dump()["keep_warm_s"] == 60, "how long a process stays does not count rows"
    assert at_pace(given, 1_800, None) == given
    assert at_pace(given, None, 2)["retrain"].model_dump()["cool_down_s"] == 7_200, "rows without times: one second"
    assert at_pace(DEFAULTS, 1, 1e9)["gate"].model_dump()["max_open_s"] == CENTURY_S
    with pytest.raises(UnfitPolicy, match=r"retrain\.every_s: must be 1 or more"):
        at_pace(given, 1_800, 0.1)


@pytest.mark.parametrize(
    ("documents", "complaint"),
    [
        (None, "documents: must be an object"),
        ({}, "documents: must be an object"),
        ({**DEFAULTS, "extra": {}}, "documents: must be an object"),
        ({"gate": [], "retrain": {}, "rollout": {}}, "gate: must be an object"),
        ({"gate": {"min_rows": "many"}, "retrain": {}, "rollout": {}}, "gate.min_rows: "),
        ({"gate": {}, "retrain": {"<b>\x1b[2J": 1}, "rollout": {}}, "is not a known field"),
        ({"gate": {}, "retrain": {"cool_down_s": float("nan")}, "rollout": {}}, "retrain.cool_down_s"),
    ],
)
def test_documents_that_are_no_policies_name_the_field(documents: Any, complaint: str) -> None:
    with pytest.raises(UnfitPolicy) as refused:
        checked(documents)
    assert complaint in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_documents_are_read_as_they_were_written() -> None:
    assert checked({kind: policy.model_dump(mode="json") for kind, policy in DEFAULTS.items()}) == DEFAULTS


@pytest.mark.parametrize(
    ("task", "changes", "field", "remedy"),
    [
        (Task.REGRESSION, {"gate": GatePolicy(metric="accuracy")}, "gate.metric", "use mae, rmse, r2"),
        (Task.BINARY, {"gate": GatePolicy(metric="mae")}, "gate.metric", "use accuracy"),
        (Task.TEXT, {}, "retrain.enabled", "enabled: false"),
        (Task.EMBEDDING, {}, "retrain.enabled", "enabled: false"),
        (
            Task.TEXT,
            {"retrain": RetrainPolicy(enabled=False), "rollout": RolloutPolicy(strategy="adaptive")},
            "rollout.strategy",
            "strategy: canary",
        ),
    ],
)
def test_a_policy_that_cannot_fit_the_task_names_field_and_remedy(
    task: Task, changes: dict[str, Policy], field: str, remedy: str
) -> None:
    with pytest.raises(UnfitPolicy, match=remedy) as refused:
        check_fit(DEFAULTS | changes, signature(task))
    assert refused.value.field == field


def test_online_learners_need_columns_without_texts() -> None:
    online = DEFAULTS | {"retrain": RetrainPolicy(online=("linear",))}
    check_fit(online, signature())
    with pytest.raises(UnfitPolicy, match=r"no text columns; .*adaptive.*online: "):
        check_fit(online, signature(column=ColumnType.TEXT))
    check_fit(DEFAULTS, signature(column=ColumnType.TEXT))
    check_fit(DEFAULTS | {"retrain": RetrainPolicy(enabled=False)}, signature(Task.TEXT))
