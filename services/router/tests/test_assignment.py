"""Units keep their target; weights move only whom they must."""

from hypothesis import given
from hypothesis import strategies as st

from modelyard_router.domain.assignment import Assigner, upper_bounds
from modelyard_router.plan.compile import compile_route

from .conftest import table, target
from .replica import DIGEST_2

UNITS = [f"user-{i}" for i in range(2_000)]
WEIGHT = st.floats(0, 1, allow_nan=False)


def canaries(weight: float, sequence: int = 1, route: str = "elec") -> set[str]:
    stable = target("http://a:1", weight=1 - weight)
    canary = target("http://b:1", variant="canary", version=2, digest=DIGEST_2, weight=weight)
    compiled = compile_route(table(stable, canary, sequence=sequence, route=route))
    return {unit for unit in UNITS if compiled.choose(unit).variant == "canary"}


@given(WEIGHT, WEIGHT)
def test_raising_the_canarys_weight_only_adds_units(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert canaries(low) <= canaries(high)


def test_no_weight_means_nobody_and_all_of_it_everybody() -> None:
    assert canaries(0.0) == set()
    assert canaries(1.0) == set(UNITS)


def test_the_share_is_the_weight() -> None:
    for weight in (0.05, 0.2, 0.5):
        share = len(canaries(weight)) / len(UNITS)
        # Three standard errors of a binomial share.
        assert abs(share - weight) < 3 * (weight * (1 - weight) / len(UNITS)) ** 0.5


def test_units_stay_over_sequences_and_processes_and_differ_between_routes() -> None:
    assert canaries(0.2, sequence=1) == canaries(0.2, sequence=9)
    assert canaries(0.2) != canaries(0.2, route="other")
    # Fixed by the definition: a change of it would move everybody's users at the next release.
    assert f"{Assigner('salt', 'elec').bucket('user-7'):.12f}" == "0.522811917854"


@given(st.text(), st.text(), st.text())
def test_a_bucket_is_in_the_unit_interval(salt: str, route: str, unit: str) -> None:
    assert 0 <= Assigner(salt, route).bucket(unit) < 1


def test_salt_and_route_are_kept_apart() -> None:
    assert Assigner("a", "bc").bucket("u") != Assigner("ab", "c").bucket("u")


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6))
def test_every_bucket_has_a_target_that_has_weight(weights: list[float]) -> None:
    shares = [0.0, *(weight / sum(weights) for weight in weights), 0.0]
    bounds = upper_bounds(shares)
    assert bounds[-2] > 1 and bounds == tuple(sorted(bounds))
