"""The planner: pure decisions from a plan and facts, and what a router refuses to execute."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_contracts.signature import Output, Task
from modelyard_router.domain.errors import UnusableRoute
from modelyard_router.plan.budget import RetryBudget
from modelyard_router.plan.compile import compile_route
from modelyard_router.plan.facts import Facts
from modelyard_router.plan.planner import Decision

from .plans import ELEC, TEXT, ensemble, fallback, leaf, planned, rules, shadow, split

OTHER = ELEC.model_copy(update={"output": Output(task=Task.BINARY, classes=("no", "yes"))})
URL = "http://127.0.0.1:9"
A, B, C = (leaf(URL, version=number) for number in (1, 2, 3))
UNITS = [f"user-{number}" for number in range(2_000)]


def decided(root: Any, **facts: Any) -> Decision:
    return compile_route(planned(root)).decide(Facts(**{"request_id": "r-1", **facts}))


def versions(decision: Decision) -> list[int]:
    return [candidate.leaf.version for candidate in decision.candidates]


def test_a_plan_of_one_version_has_an_empty_path() -> None:
    [candidate] = decided(A).candidates
    assert (candidate.leaf.path, candidate.leaf.rule) == ("", "all")


def test_paths_name_every_step() -> None:
    root = rules(
        ("eu", {"fact": "header:x-region", "op": "eq", "value": "eu"}, split(("canary", 1.0, fallback(A, B)))),
        otherwise=C,
    )
    decision = decided(root, headers={"x-region": "eu"})
    assert [c.leaf.path for c in decision.candidates] == [
        "rules:eu/split:canary/fallback:0",
        "rules:eu/split:canary/fallback:1",
    ]
    assert decision.candidates[0].leaf.rule == "eu"
    assert decided(root).candidates[0].leaf.path == "rules:otherwise"


CONDITIONS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({"fact": "workspace", "op": "eq", "value": "acme"}, {"workspace": "acme"}, True),
    ({"fact": "workspace", "op": "ne", "value": "acme"}, {"workspace": "acme"}, False),
    ({"fact": "text_length", "op": "gt", "value": 100.0}, {"text_length": 101}, True),
    ({"fact": "text_length", "op": "gt", "value": 100.0}, {}, False),
    ({"fact": "header:X-Tier", "op": "in", "value": ["gold", "silver"]}, {"headers": {"x-tier": "gold"}}, True),
    ({"fact": "header:x-age", "op": "le", "value": 30.0}, {"headers": {"x-age": "29"}}, True),
    ({"fact": "header:x-age", "op": "le", "value": 30.0}, {"headers": {"x-age": "old"}}, False),
    ({"fact": "feature:price", "op": "lt", "value": 0.5}, {"features": {"price": 0.25}}, True),
    ({"fact": "feature:price", "op": "lt", "value": 0.5}, {"features": {"price": None}}, False),
    ({"fact": "feature:on", "op": "eq", "value": True}, {"features": {"on": True}}, True),
    ({"fact": "feature:on", "op": "eq", "value": 1.0}, {"features": {"on": True}}, False),
    ({"fact": "entity", "op": "prefix", "value": "test-"}, {"entity": "test-7"}, True),
    ({"fact": "session", "op": "exists"}, {"session": "s"}, True),
    ({"fact": "session", "op": "exists"}, {}, False),
    ({"fact": "session", "op": "ne", "value": "s"}, {}, False),
    ({"not": {"fact": "session", "op": "exists"}}, {}, True),
    (
        {"all": [{"fact": "entity", "op": "exists"}, {"fact": "session", "op": "exists"}]},
        {"entity": "e", "session": "s"},
        True,
    ),
    ({"all": [{"fact": "entity", "op": "exists"}, {"fact": "session", "op": "exists"}]}, {"entity": "e"}, False),
    ({"any": [{"fact": "entity", "op": "exists"}, {"fact": "session", "op": "exists"}]}, {"entity": "e"}, True),
]


@pytest.mark.parametrize(("when", "facts", "holds"), CONDITIONS)
def test_conditions(when: dict[str, Any], facts: dict[str, Any], holds: bool) -> None:
    root = rules(("matched", when, A), otherwise=B)
    assert versions(decided(root, **facts)) == ([1] if holds else [2])


def arm_of(root: Any, unit: str) -> int:
    return decided(root, entity=unit).candidates[0].leaf.version


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(UNITS))
def test_raising_a_weight_only_adds_units(one: float, other: float, unit: str) -> None:
    low, high = sorted((one, other))
    if arm_of(split(("canary", low, B), ("stable", 1 - low, A)), unit) == 2:
        assert arm_of(split(("canary", high, B), ("stable", 1 - high, A)), unit) == 2


def test_a_split_inside_of_a_split_assigns_independently() -> None:
    inner = split(("a", 0.5, A), ("b", 0.5, B))
    route = compile_route(planned(split(("left", 0.5, inner), ("right", 0.5, C))))
    found = [route.decide(Facts("r", entity=unit)).candidates[0].leaf.version for unit in UNITS]
    counts = [found.count(version) for version in (1, 2, 3)]
    # Each within four standard deviations of a binomial count.
    for count, expected in zip(counts, (500, 500, 1_000), strict=True):
        assert abs(count - expected) < 4 * (expected * (1 - expected / 2_000)) ** 0.5


def test_a_rule_above_a_split_keeps_every_unit_in_its_arm() -> None:
    alone = split(("canary", 0.3, B), ("stable", 0.7, A))
    ruled = rules(("none", {"fact": "header:x", "op": "exists"}, C), otherwise=alone)
    assert [arm_of(alone, unit) for unit in UNITS[:300]] == [arm_of(ruled, unit) for unit in UNITS[:300]]


@pytest.mark.parametrize(("unit", "facts"), [("session", {"session": "s-9"}), ("request", {"entity": "other"})])
def test_the_unit_of_a_split_decides_what_is_sticky(unit: str, facts: dict[str, str]) -> None:
    root = split(("a", 0.5, A), ("b", 0.5, B), unit=unit)
    same = {decided(root, request_id="r-1", **facts).candidates[0].leaf.version for _ in range(3)}
    assert len(same) == 1
    by_request = {decided(root, request_id=f"r-{i}", **facts).candidates[0].leaf.version for i in range(50)}
    assert by_request == ({1, 2} if unit == "request" else same)


def test_a_fallback_lists_its_nodes_with_the_failures_that_lead_to_them() -> None:
    first, second, third = decided(fallback(A, split(("x", 1.0, B)), C, on=["timeout"])).candidates
    assert [set(one.after) for one in (first, second, third)] == [set(), {"timeout"}, {"timeout"}]
    assert versions(decided(fallback(A, B, C))) == [1, 2, 3]


def test_another_arm_of_a_split_steps_in_when_one_is_unavailable() -> None:
    chosen, substitute = decided(split(("canary", 1.0, B), ("stable", 0.0, A))).candidates
    assert (chosen.leaf.version, substitute.leaf.version) == (2, 1)
    assert set(substitute.after) == {"unavailable"}


def test_a_copy_takes_its_share_of_the_requests() -> None:
    route = compile_route(planned(shadow(A, ("new", 25.0, B))))
    copied = sum(bool(route.decide(Facts(unit)).copies) for unit in UNITS)
    assert abs(copied - 500) < 4 * (2_000 * 0.25 * 0.75) ** 0.5
    assert route.decide(Facts("r")).candidates[0].leaf.path == "shadow:main"


def test_an_ensemble_asks_every_member_with_a_weight_and_is_led_by_the_first() -> None:
    [candidate] = decided(ensemble((0.2, A), (0.5, split(("x", 1.0, B))), (0.0, C))).candidates
    assert candidate.leaf.version == 1
    assert candidate.ensemble is not None
    members = [(member.weight, member.candidates[0].leaf.path) for member in candidate.ensemble.members]
    assert members == [(0.2, "ensemble:0"), (0.5, "ensemble:1/split:x")]


@pytest.mark.parametrize(
    ("root", "says"),
    [
        ({"kind": "cascade", "threshold": 0.8, "first": A, "then": B}, "cascade at root: not executed by this release"),
        (ensemble((1, A), combiner="mean"), "root.combiner: mean cannot combine binary outputs; use hard or soft"),
        (ensemble((1, A), (1, leaf(URL, signature=OTHER))), "root.members: version 1 of elec has other classes"),
        (ensemble((1, A), (1, leaf()), quorum=2), "root: 1 members have urls, the quorum is 2"),
        ({"kind": "prompt", "prompt": "greeting", "version": 1, "node": A}, "prompt at root"),
        ({"kind": "bandit", "arms": []}, "bandit"),
        (leaf(), "has weight but no urls"),
        (leaf("https://user:word@a"), "is not an address"),
        (leaf(URL, signature=TEXT), "is not in the table"),
        (leaf(URL, variant="bad\r\nheader: x"), "cannot be sent in a header"),
    ],
)
def test_what_cannot_be_executed_is_refused_by_name(root: Any, says: str) -> None:
    with pytest.raises(UnusableRoute) as refused:
        compile_route(planned(root, signatures=(ELEC, OTHER)))
    assert says in str(refused.value)


def test_a_plan_of_a_newer_major_version_names_the_release_that_is_needed() -> None:
    with pytest.raises(UnusableRoute, match=r"schema version 2 needs Modelyard 0\.9 or newer; this is"):
        compile_route(planned(A, plan={"schema_version": 2, "min_release": "0.9"}))


def test_a_node_of_a_newer_minor_release_names_it() -> None:
    with pytest.raises(UnusableRoute, match=r"bandit.*needs Modelyard 0\.9"):
        compile_route(planned({"kind": "bandit", "arms": []}, plan={"min_release": "0.9"}))


def test_unknown_fields_of_a_newer_release_are_ignored() -> None:
    newer = {**leaf(URL), "colour": "red", "price": {"usd_per_call": 0.5, "usd_per_image": 2}}
    route = compile_route(planned(newer, plan={"comment": "x"}))
    assert route.leaves[0].cost_usd == 0.5


def test_a_retry_budget_allows_its_share_and_a_small_burst() -> None:
    budget = RetryBudget(0.2)
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(5):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]
    none = RetryBudget(0.0)
    none.earn()
    assert not none.spend()


def test_equal_facts_give_equal_decisions() -> None:
    route = compile_route(planned(split(("a", 0.5, A), ("b", 0.5, B)), signatures=(ELEC, TEXT)))
    facts = Facts("r", entity="u", features={"price": 1.0})
    assert route.decide(facts) == route.decide(facts)
