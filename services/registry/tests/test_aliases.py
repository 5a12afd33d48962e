from concurrent.futures import ThreadPoolExecutor

import pytest

from modelyard import ApiError
from modelyard_contracts import ResourceChange, VersionStage

from .conftest import World


def test_an_alias_moves_by_compare_and_swap(world: World) -> None:
    one, two = world.given_version(), world.given_version()
    first = world.client.move_alias("elec", "shadow", one.version, expected_generation=0, reason="try", actor="ada")
    assert (first.generation, first.version, first.digest, first.actor) == (1, one.version, one.digest, "ada")
    second = world.client.move_alias("elec", "shadow", two.version, expected_generation=1, reason="better")
    assert (second.generation, second.version) == (2, two.version)
    assert world.client.alias("elec", "shadow") == second


def test_a_stale_move_is_refused_naming_the_generation_now(world: World) -> None:
    one, two = world.given_version(), world.given_version()
    world.client.move_alias("elec", "shadow", one.version, expected_generation=0, reason="first")
    published = len(world.queued())
    for expected in (0, 2):
        with pytest.raises(ApiError, match=f"generation 1, not {expected}") as refused:
            world.client.move_alias("elec", "shadow", two.version, expected_generation=expected, reason="late")
        assert (refused.value.status, refused.value.code) == (409, "stale_generation")
    assert len(world.queued()) == published
    current = world.client.alias("elec", "shadow")
    assert current is not None and current.version == one.version


def test_of_writers_at_once_exactly_one_wins(world: World) -> None:
    version = world.given_version()

    def move(number: int) -> bool:
        try:
            world.client.move_alias("elec", "shadow", version.version, expected_generation=0, reason=str(number))
        except ApiError as error:
            assert error.status == 409
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(move, range(6))) == 1


def test_a_dropped_alias_is_gone_and_its_generation_continues(world: World) -> None:
    version = world.given_version()
    world.client.move_alias("elec", "shadow", version.version, expected_generation=0, reason="try")
    world.client.drop_alias("elec", "shadow", expected_generation=1, reason="done")
    assert world.client.alias("elec", "shadow") is None
    assert world.client.aliases("elec") == {}
    with pytest.raises(ApiError, match="generation 2"):
        world.client.move_alias("elec", "shadow", version.version, expected_generation=0, reason="an old decision")
    assert world.client.move_alias("elec", "shadow", 1, expected_generation=2, reason="again").generation == 3


def test_every_move_is_published_with_all_aliases_after_it(world: World) -> None:
    version = world.given_version()
    world.client.move_alias("elec", "a", version.version, expected_generation=0, reason="why a")
    world.client.move_alias("elec", "b", version.version, expected_generation=0, reason="why b")
    world.client.drop_alias("elec", "a", expected_generation=1, reason="no more a")
    moves = [event for event in world.queued() if event.change is ResourceChange.ALIAS_MOVED]
    assert [(move.alias, move.version, move.alias_generation, dict(move.aliases)) for move in moves] == [
        ("a", 1, 1, {"a": 1}),
        ("b", 1, 1, {"a": 1, "b": 1}),
        ("a", None, 2, {"b": 1}),
    ]
    assert [entry.reason for entry in world.client.history("elec")[-3:]] == ["why a", "why b", "no more a"]


@pytest.mark.parametrize("name", ["latest", "v1", "v12", "Shadow", "a b", "x" * 65, "1st", "a\x00"])
def test_reserved_and_malformed_names_are_refused(on_sqlite: World, name: str) -> None:
    on_sqlite.given_version()
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.move_alias("elec", name, 1, expected_generation=0, reason="x")
    assert (refused.value.status, refused.value.field) == (422, "alias")


def test_a_pending_version_gets_no_alias(world: World) -> None:
    pending = world.given_version(VersionStage.PENDING)
    with pytest.raises(ApiError, match="version 1 is pending") as refused:
        world.client.move_alias("elec", "shadow", pending.version, expected_generation=0, reason="x")
    assert (refused.value.status, refused.value.code) == (409, "unfit_for_alias")


@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_only_traffic_moves_the_champion_of_a_model(world: World, alias: str) -> None:
    live = world.given_version(VersionStage.LIVE)
    approved = world.given_version(VersionStage.APPROVED)
    with pytest.raises(ApiError, match=f"rollouts move the alias '{alias}'") as refused:
        world.client.move_alias("elec", alias, approved.version, expected_generation=1, reason="x")
    assert (refused.value.status, refused.value.code) == (409, "moved_by_rollouts")
    with pytest.raises(ApiError, match="rollouts move"):
        world.client.drop_alias("elec", alias, expected_generation=1, reason="x")
    champion = world.client.alias("elec", "champion")
    assert champion is not None and champion.version == live.version


def test_a_person_cannot_act_on_behalf_of_another(world: World) -> None:
    world.given_version()
    key = world.key("release-manager")
    moved = world.client_with(key).move_alias("elec", "s", 1, expected_generation=0, reason="x", actor="bob")
    assert moved.actor == "ada"
