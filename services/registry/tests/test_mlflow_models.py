"""Registered models and versions over MLflow's API, without its client."""

import pytest

from modelyard_contracts import VersionStage

from .conftest import World
from .tracking import Tracking


def test_a_registered_model_is_created_described_tagged_and_found(world: World) -> None:
    tracking = Tracking(world)
    tracking.post("registered-models/create", name="spam", tags=[{"key": "team", "value": "risk"}])
    tracking.post("registered-models/create", name="ham")
    assert tracking.ask("PATCH", "registered-models/update", name="spam", description="of mails").status_code == 200
    tracking.post("registered-models/set-tag", name="spam", key="tier", value="1")
    assert tracking.ask("DELETE", "registered-models/delete-tag", name="spam", key="team").status_code == 200

    found = tracking.get("registered-models/get", name="spam")["registered_model"]
    searched = tracking.get("registered-models/search", filter="tags.tier = '1' AND name LIKE 'sp%'")
    no_prompts = tracking.get("registered-models/search", filter="tags.`mlflow.prompt.is_prompt` != 'true'")

    assert (found["description"], found["tags"]) == ("of mails", [{"key": "tier", "value": "1"}])
    assert [one["name"] for one in searched["registered_models"]] == ["spam"]
    assert [one["name"] for one in no_prompts["registered_models"]] == ["ham", "spam"]
    assert [entry.change for entry in world.client.history("spam")][-1] == "described"


def test_a_taken_name_and_a_bad_one_are_refused(on_sqlite: World) -> None:
    tracking = Tracking(on_sqlite)
    tracking.post("registered-models/create", name="spam")

    assert tracking.refused("POST", "registered-models/create", name="spam")[0] == "RESOURCE_ALREADY_EXISTS"
    for name, reason in (("Spam Filter", "is not a name"), ("acme:spam", "leave the workspace out"), ("", "missing")):
        code, message = tracking.refused("POST", "registered-models/create", name=name)
        assert (code, reason in message) == ("INVALID_PARAMETER_VALUE", True)
    assert tracking.refused("GET", "registered-models/get", name="eggs")[0] == "RESOURCE_DOES_NOT_EXIST"


def test_versions_of_the_platform_are_searched_tagged_and_retired(world: World) -> None:
    version = world.given_version(VersionStage.APPROVED)
    world.given_version()
    tracking = Tracking(world)
    tracking.post("model-versions/set-tag", name="elec", version="1", key="team", value="risk")
    tracking.ask("PATCH", "model-versions/update", name="elec", version="1", description="the first")

    found = tracking.get("model-versions/search", filter="name = 'elec' AND tags.team = 'risk'")["model_versions"]
    both = tracking.get("model-versions/search", max_results=1)
    rest = tracking.get("model-versions/search", max_results=1, page_token=both["next_page_token"])

    [one] = found
    assert (one["version"], one["description"], one["run_id"], one["status"]) == ("1", "the first", "run-1", "READY")
    tags = {tag["key"]: tag["value"] for tag in one["tags"]}
    assert (tags["modelyard.stage"], tags["modelyard.digest"]) == ("approved", version.digest)
    assert [page["model_versions"][0]["version"] for page in (both, rest)] == ["2", "1"]
    assert [
        one["version"] for one in tracking.get("model-versions/search", filter="run_id = 'run-1'")["model_versions"]
    ]
    assert tracking.ask("DELETE", "model-versions/delete", name="elec", version="1").status_code == 200
    assert world.stage_of(version) is VersionStage.RETIRED


def test_an_alias_moves_by_the_rules_of_the_registry(world: World) -> None:
    world.given_version()
    tracking = Tracking(world)
    tracking.post("registered-models/alias", name="elec", alias="candidate", version="1")

    found = tracking.get("registered-models/alias", name="elec", alias="candidate")["model_version"]
    assert (found["version"], found["aliases"]) == ("1", ["candidate"])
    for alias, reason in (("champion", "rollouts move the alias"), ("latest", "is reserved"), ("Prod", "lower-case")):
        _, message = tracking.refused("POST", "registered-models/alias", name="elec", alias=alias, version="1")
        assert reason in message
    assert tracking.ask("DELETE", "registered-models/alias", name="elec", alias="candidate").status_code == 200
    assert tracking.refused("GET", "registered-models/alias", name="elec", alias="candidate")[0] == (
        "RESOURCE_DOES_NOT_EXIST"
    )


def test_a_developer_registers_but_moves_no_alias(on_sqlite: World) -> None:
    on_sqlite.given_version()
    developer = Tracking(on_sqlite, on_sqlite.key("developer"))

    developer.post("registered-models/create", name="spam")
    code, message = developer.refused("POST", "registered-models/alias", name="elec", alias="a", version="1")

    assert (code, "ask an admin for release-manager" in message) == ("PERMISSION_DENIED", True)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("s3://bucket/model", "are not in this registry"),
        ("/tmp/model", "are not in this registry"),
        ("models:/m-0123", "there is no logged model"),
        ("runs:/0123/model", "there is no run"),
        ("models:/elec/7", "has no version 7"),
        ("mlflow-artifacts:/elsewhere/1", "is no place of artifacts"),
        ("", "source: is missing"),
    ],
)
def test_a_source_without_files_here_is_refused(on_sqlite: World, source: str, reason: str) -> None:
    on_sqlite.given_version()

    _, message = Tracking(on_sqlite).refused("POST", "model-versions/create", name="elec", source=source)

    assert reason in message


def test_files_of_a_run_that_are_no_model_of_mlflow_are_refused(on_sqlite: World) -> None:
    tracking = Tracking(on_sqlite)
    tracking.post("registered-models/create", name="spam")
    id_ = tracking.run(tracking.experiment())
    tracking.artifact("PUT", f"runs/{id_}/artifacts/model/a.txt", b"hello")

    code, message = tracking.refused("POST", "model-versions/create", name="spam", source=f"runs:/{id_}/model")

    assert (code, "has no MLmodel file" in message) == ("INVALID_PARAMETER_VALUE", True)


def test_tags_of_the_registry_itself_are_not_set_by_clients(on_sqlite: World) -> None:
    on_sqlite.given_version()
    fields = {"name": "elec", "version": "1", "key": "modelyard.stage", "value": "live"}

    _, message = Tracking(on_sqlite).refused("POST", "model-versions/set-tag", **fields)

    assert "are the registry's own" in message


def test_the_files_of_a_version_are_read_and_never_written(on_sqlite: World) -> None:
    on_sqlite.given_version()
    tracking = Tracking(on_sqlite)

    uri = tracking.get("model-versions/get-download-uri", name="elec", version="1")["artifact_uri"]

    assert uri == "mlflow-artifacts:/versions/elec/1"
    assert tracking.artifact("GET", "versions/elec/1/m").content == b"bytes 1"
    assert "never change" in tracking.artifact("PUT", "versions/elec/1/m", b"x").json()["message"]
