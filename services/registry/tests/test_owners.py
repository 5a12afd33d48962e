"""The owner of an existing model, and tags that two people change at one time."""

import pytest

from modelyard import ApiError, RegistryClient

from .conftest import World


def test_the_owner_of_a_model_is_changed_once_and_kept_in_the_history(world: World) -> None:
    world.given_version()
    assert [one.model for one in world.client.catalogue_problems() if one.no_owner] == ["elec"]
    changed = world.client.set_owner("elec", "risk team", expected_owner="", reason="ada left")
    assert (changed.owner, world.client.model("elec").owner) == ("risk team", "risk team")
    assert not [one.model for one in world.client.catalogue_problems() if one.no_owner]
    assert world.client.set_owner("elec", "risk team", expected_owner="").owner == "risk team", "a repeated call"
    entries = [one for one in world.client.history("elec") if one.change == "owner_changed"]
    assert [(one.actor, one.reason) for one in entries] == [("bootstrap-admin", "ada left")]
    assert entries[0].detail == {"owner": "risk team", "previous_owner": ""}
    assert [one.change for one in world.client.audit(action="owner_changed").items] == ["owner_changed"]


def test_of_two_people_who_change_the_owner_the_second_is_refused(on_sqlite: World) -> None:
    on_sqlite.client.create_model("elec", owner="ada")
    on_sqlite.client.set_owner("elec", "bob", expected_owner="ada")
    with pytest.raises(ApiError, match="is 'bob', not the expected one") as refused:
        on_sqlite.client.set_owner("elec", "eve", expected_owner="ada")
    assert (refused.value.status, refused.value.code, refused.value.field) == (409, "stale_owner", "expected_owner")
    assert on_sqlite.client.model("elec").owner == "bob"


@pytest.mark.parametrize("owner", ["", "  ", "x" * 201, "a\x00"])
def test_an_owner_that_names_nobody_is_refused(on_sqlite: World, owner: str) -> None:
    on_sqlite.client.create_model("elec", owner="ada")
    with pytest.raises(ApiError) as refused:
        on_sqlite.client.set_owner("elec", owner, expected_owner="ada")
    assert (refused.value.status, refused.value.field) == (422, "owner")


def test_only_a_role_that_may_update_changes_the_owner(on_sqlite: World) -> None:
    on_sqlite.client.create_model("elec")
    on_sqlite.client.post("/v1/workspaces", {"name": "risk"})
    viewer = on_sqlite.client_with(on_sqlite.key("viewer"))
    developer = on_sqlite.client_with(on_sqlite.key("developer", name="dora"))
    elsewhere = on_sqlite.client_with(on_sqlite.key("developer", workspace="risk", name="ron"))
    for client in (viewer, elsewhere):
        with pytest.raises(ApiError) as refused:
            client.set_owner("elec", "eve", expected_owner="")
        assert refused.value.status == 403
    assert developer.set_owner("elec", "dora", expected_owner="", actor="somebody else").owner == "dora"
    assert on_sqlite.client.history("elec")[-1].actor == "dora"


def test_tags_that_another_person_changed_are_not_overwritten(world: World) -> None:
    version = world.given_version()

    def tag(client: RegistryClient, expected: int, **tags: str) -> int:
        return client.label_version("elec", version.version, tags=tags, expected_revision=expected).labels_revision

    assert version.labels_revision == 0
    assert tag(world.client, 0, team="shop") == 1
    with pytest.raises(ApiError, match="are at revision 1, not 0; read them again") as refused:
        tag(world.client, 0, team="ads")
    assert (refused.value.status, refused.value.code, refused.value.field) == (409, "stale_labels", "expected_revision")
    assert world.again(version).tags == {"team": "shop"}
    assert tag(world.client, 1, team="shop") == 1, "equal tags change nothing"
    assert tag(world.client, 1, team="ads") == 2
    assert world.client.label_version("elec", version.version, tags={}).labels_revision == 3, "without a comparison"
