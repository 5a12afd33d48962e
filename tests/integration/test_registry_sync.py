"""modelyard sync from an emulated MLflow server into a real registry: what is taken over, and what stays."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from modelyard import RegistryClient
from modelyard.errors import ApiUnavailable
from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform
from modelyard_contracts.card import CardProse
from modelyard_devstack.testing.mlflow import MLMODEL, FakeMlflow, FakeModel, FakeVersion, fake_mlflow, logged_model
from modelyard_registry.testing import InProcessRegistry


@pytest.fixture(scope="module")
def model_files() -> dict[str, bytes]:
    return logged_model()


@pytest.fixture
def mlflow(model_files: dict[str, bytes]) -> Iterator[FakeMlflow]:
    first = FakeVersion(dict(model_files), "first", {"team": "growth"})
    second = FakeVersion({**model_files, "conda/notes.txt": b"second"}, tags={"mlflow.user": "me"})
    with fake_mlflow(churn=FakeModel([first, second], "Who leaves", {"production": 1, "champion": 2})) as server:
        yield server


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryClient]:
    with InProcessRegistry(tmp_path / "registry") as opened:
        url = opened.serve()
        monkeypatch.setattr(
            Platform, "find", lambda *_: SimpleNamespace(urls={"registry": url}, token=opened.admin_key)
        )
        yield RegistryClient("http://registry", opened.admin_key, transport=opened.transport)


@pytest.fixture
def sync(mlflow: FakeMlflow, registry: RegistryClient, tmp_path: Path) -> Any:
    """Run `modelyard sync mlflow`; returns exit code and (what, name, version, state, done) of each difference."""

    def run(*more: str, code: int = 0) -> list[tuple[str, str, str, str, bool]]:
        given = ["sync", "mlflow", "--from", mlflow.url, "--data-dir", str(tmp_path), "-o", "json", *more]
        result = CliRunner().invoke(app, given)
        assert result.exit_code == code, result.output
        run.result = result  # type: ignore[attr-defined]
        found = [it for model in json.loads(result.stdout) for it in model["differences"]]
        return [(it["what"], it["name"], it["version"], it["state"], it["done"]) for it in found]

    return run


CHAMPION = ("alias", "champion", "2", "not taken", False)


def test_without_apply_differences_are_listed_and_nothing_changes(sync: Any, registry: RegistryClient) -> None:
    assert sync() == [
        ("version", "", "1", "missing here", False),
        ("version", "", "2", "missing here", False),
        CHAMPION,
        ("alias", "production", "1", "not taken", False),
    ]
    assert registry.models() == ()
    assert "set --apply" in sync.result.stderr


def test_with_apply_versions_tags_descriptions_and_aliases_are_taken_over(sync: Any, registry: RegistryClient) -> None:
    sync("--apply", "--owner", "growth team")
    model = registry.model("churn")
    assert (model.description, model.owner, model.aliases) == ("Who leaves", "growth team", {"production": 1})
    first, second = registry.versions("churn")
    assert (first.tags, second.tags) == ({"team": "growth"}, {})
    assert registry.card_document("churn", 1).card.prose.notes == "first"
    source = registry.manifest("churn", 2).source
    assert source is not None
    assert (source.kind, source.revision, source.uri.endswith("/#/models/churn")) == ("mlflow", "2", True)


def test_a_repetition_changes_and_downloads_nothing(sync: Any, mlflow: FakeMlflow, registry: RegistryClient) -> None:
    sync("--apply")
    before = len(registry.history("churn"))
    mlflow.calls.clear()
    assert sync("--apply") == [CHAMPION]
    assert len(registry.history("churn")) == before
    assert not mlflow.downloads


def test_a_download_that_is_cut_is_repeated(
    sync: Any, mlflow: FakeMlflow, registry: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    mlflow.cuts = 2
    sync("--apply")
    assert len(registry.versions("churn")) == 2


def test_a_registration_that_was_stopped_is_continued(
    sync: Any, registry: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise ApiUnavailable(503, "unavailable", "the registry stops")

    with monkeypatch.context() as patched:
        patched.setattr(RegistryClient, "finalize_version", stopped)
        with pytest.raises(AssertionError, match="the registry stops"):
            sync("--apply")
    assert [version.stage for version in registry.versions("churn")] == ["pending"]
    sync("--apply")
    assert [version.stage for version in registry.versions("churn")] == ["registered", "registered"]


def test_what_changed_there_is_taken_over(sync: Any, mlflow: FakeMlflow, registry: RegistryClient) -> None:
    sync("--apply")
    model = mlflow.models["churn"]
    model.versions[0].tags, model.versions[0].description = {"team": "sales", "tier": "1"}, "first, corrected"
    model.aliases = {"production": 2}
    changed = sync("--apply")
    assert {(name or what, done) for what, name, _, state, done in changed if state == "changed there"} == {
        ("team", True),
        ("tier", True),
        ("description", True),
        ("production", True),
    }
    assert registry.version("churn", 1).tags == {"team": "sales", "tier": "1"}
    assert registry.card_document("churn", 1).card.prose.notes == "first, corrected"
    assert registry.model("churn").aliases == {"production": 2}


def test_what_was_removed_there_is_removed_here_but_versions_stay(
    sync: Any, mlflow: FakeMlflow, registry: RegistryClient
) -> None:
    sync("--apply")
    model = mlflow.models["churn"]
    model.versions[0].tags, model.aliases = {}, {}
    model.versions.pop()
    assert ("version", "", "2", "only here", False) in sync("--apply")
    assert registry.version("churn", 1).tags == {}
    assert registry.model("churn").aliases == {}
    assert len(registry.versions("churn")) == 2


def test_what_a_person_changed_here_is_never_overwritten(
    sync: Any, mlflow: FakeMlflow, registry: RegistryClient
) -> None:
    sync("--apply")
    registry.label_version("churn", 1, tags={"team": "risk", "mine": "yes"}, reason="a person")
    registry.edit_card("churn", 1, CardProse(notes="ours"), expected_revision=1, reason="a person")
    registry.move_alias("churn", "production", 2, expected_generation=1, reason="a person")
    kept = {(it[0], it[1]) for it in sync("--apply") if it[3] == "changed here"}
    assert kept == {("tag", "team"), ("tag", "mine"), ("description", ""), ("alias", "production")}

    first = mlflow.models["churn"].versions[0]
    first.tags, first.description = {"team": "sales", "new": "1"}, "theirs"
    mlflow.models["churn"].aliases = {}
    found = sync("--apply", code=4)
    assert {(it[0], it[1]) for it in found if it[3] == "conflict"} == {
        ("tag", "team"),
        ("description", ""),
        ("alias", "production"),
    }
    assert "3 conflicts" in sync.result.stderr
    assert registry.version("churn", 1).tags == {"team": "risk", "mine": "yes", "new": "1"}
    assert registry.card_document("churn", 1).card.prose.notes == "ours"
    assert registry.model("churn").aliases == {"production": 2}


def test_a_conflict_ends_when_both_sides_are_equal(sync: Any, mlflow: FakeMlflow, registry: RegistryClient) -> None:
    sync("--apply")
    registry.label_version("churn", 1, tags={"team": "risk"}, reason="a person")
    mlflow.models["churn"].versions[0].tags = {"team": "sales"}
    assert any(it[3] == "conflict" for it in sync(code=4))
    mlflow.models["churn"].versions[0].tags = {"team": "risk"}
    assert sync() == [CHAMPION]


def test_a_model_that_is_here_already_keeps_its_facts(sync: Any, registry: RegistryClient) -> None:
    registry.create_model("churn", description="ours", owner="risk")
    sync("--apply")
    assert registry.model("churn").description == "ours"
    assert ("model description", "", "", "not taken", False) in sync()


def test_a_version_that_cannot_be_registered_is_named_and_the_others_are_taken(
    sync: Any, mlflow: FakeMlflow, registry: RegistryClient
) -> None:
    import pickle

    files = mlflow.models["churn"].versions[0].files
    files.pop("model.skops")
    files |= {"model.pkl": pickle.dumps({"a": 1}), "MLmodel": MLMODEL.replace("model.skops", "model.pkl").encode()}
    found = sync("--apply", code=4)
    assert ("version", "", "1", "missing here", False) in found
    assert [version.version for version in registry.versions("churn")] == [1]
    source = registry.manifest("churn", 1).source
    assert source is not None and source.revision == "2"
    assert "pickle" in sync.result.stdout
    assert "1 versions could not be registered" in sync.result.stderr


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("s3://bucket/model", "--serve-artifacts"),
        ("file:///etc", "--files-root"),
        ("/etc", "--files-root"),
        ("mlflow-artifacts:/1/models/churn-2/artifacts/none", "the server has no files"),
    ],
)
def test_files_that_cannot_be_read_name_the_remedy(sync: Any, mlflow: FakeMlflow, uri: str, problem: str) -> None:
    mlflow.models["churn"].versions[0].uri = uri
    sync("--apply", code=4)
    assert problem in sync.result.stdout


def test_a_folder_of_this_machine_is_read_when_it_is_allowed(
    sync: Any, mlflow: FakeMlflow, registry: RegistryClient, tmp_path: Path
) -> None:
    folder = tmp_path / "artifacts" / "model"
    folder.mkdir(parents=True)
    for name, data in mlflow.models["churn"].versions[0].files.items():
        (folder / name).write_bytes(data)
    mlflow.models["churn"].versions[0].uri = folder.as_uri()
    sync("--apply", "--files-root", str(tmp_path / "artifacts"))
    assert len(registry.versions("churn")) == 2


def test_file_names_that_leave_the_folder_are_refused(sync: Any, mlflow: FakeMlflow) -> None:
    mlflow.models["churn"].versions[0].files["..%2F"] = b""
    sync("--apply", code=4)
    assert "no version can hold" in sync.result.stdout


def test_lists_have_pages_and_unfinished_versions_and_prompts_are_left_out(
    sync: Any, mlflow: FakeMlflow, registry: RegistryClient
) -> None:
    mlflow.page = 1
    mlflow.models["churn"].versions.append(FakeVersion(status="PENDING_REGISTRATION"))
    mlflow.models["greeting"] = FakeModel(tags={"mlflow.prompt.is_prompt": "true"})
    sync("--apply")
    assert [model.name for model in registry.models()] == ["churn"]
    assert len(registry.versions("churn")) == 2


def test_one_model_may_have_another_name_here(sync: Any, mlflow: FakeMlflow, registry: RegistryClient) -> None:
    mlflow.models["Churn of EU"] = mlflow.models.pop("churn")
    assert sync(code=4) == []
    assert "set --model and --as" in sync.result.stdout
    sync("--apply", "--model", "Churn of EU", "--as", "churn")
    assert len(registry.versions("churn")) == 2
    assert sync("--model", "Churn of EU", "--as", "churn") == [CHAMPION]


def test_credentials_of_mlflow_are_sent(sync: Any, mlflow: FakeMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow.authorization = "Bearer mlflow-token"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "mlflow-token")
    sync()
    mlflow.authorization = "Basic bWU6c2VjcmV0"
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    sync()


@pytest.mark.parametrize(
    ("options", "code", "problem"),
    [
        (["--as", "churn"], 2, "set --model as well"),
        (["--model", "none"], 2, "has no such model"),
        (["--model", "churn", "--sample", "none.csv"], 2, "no such file"),
    ],
)
def test_options_that_cannot_be_used_are_named(
    mlflow: FakeMlflow, registry: RegistryClient, tmp_path: Path, options: list[str], code: int, problem: str
) -> None:
    result = CliRunner().invoke(app, ["sync", "mlflow", "--from", mlflow.url, "--data-dir", str(tmp_path), *options])
    assert (result.exit_code, problem in result.stderr) == (code, True), result.output


def test_a_server_that_refuses_names_the_variable(mlflow: FakeMlflow, registry: RegistryClient, tmp_path: Path) -> None:
    mlflow.authorization = "Bearer other"
    result = CliRunner().invoke(app, ["sync", "mlflow", "--from", mlflow.url, "--data-dir", str(tmp_path)])
    assert (result.exit_code, "MLFLOW_TRACKING_TOKEN" in result.stderr) == (1, True)
