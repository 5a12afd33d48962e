"""Synchronising with registries of other products: what differs, runs and their faults, what is never overwritten."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard import RegistryClient
from modelyard.errors import ApiUnavailable
from modelyard_console.app import build
from modelyard_console.clients.model_reader import ModelReader
from modelyard_console.live.jobs import Jobs
from modelyard_console.settings import Settings
from modelyard_devstack.testing.azureml import fake_azureml
from modelyard_devstack.testing.mlflow import FakeMlflow, FakeModel, FakeVersion, fake_mlflow, logged_model
from modelyard_own.remote import connection
from modelyard_registry.testing import ADMIN_KEY, InProcessRegistry
from modelyard_runtime.access import Principal
from modelyard_runtime.errors import StartupError

from .conftest import World, press, waited_within
from .test_register_models import in_process

REGION = "eu-west-1"


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeMlflow]:
    """An MLflow server whose address is a setting of the console; it pauses for no time between attempts."""
    monkeypatch.setattr(connection, "FIRST_PAUSE_S", 0.0)
    first = FakeVersion(logged_model(), "first", {"team": "growth"})
    second = FakeVersion({**logged_model(), "conda/notes.txt": b"second"})
    with fake_mlflow(churn=FakeModel([first, second], "Who leaves", {"production": 1, "champion": 2})) as server:
        monkeypatch.setenv("CONSOLE_SYNC_MLFLOW", server.url)
        yield server


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[httpx.BaseTransport]:
    with InProcessRegistry(tmp_path / "registry") as opened:
        yield opened.transport


@pytest.fixture
def client(registry: httpx.BaseTransport) -> RegistryClient:
    return RegistryClient("http://registry", ADMIN_KEY, transport=registry)


@pytest.fixture
def ready(mlflow: FakeMlflow, world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    return signed_in(world, monkeypatch)


def signed_in(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A person whose key the registry knows; readings without processes."""
    monkeypatch.setattr(ModelReader, "_run", in_process)
    world.principals[ADMIN_KEY] = Principal("anna", "user", {"*": frozenset({"admin"})})
    world.sign_in(ADMIN_KEY)
    return world


def compared(world: World, source: str = "mlflow") -> str:
    return world.browser.get(f"/models-sync/model?source={source}&there=churn").text


def take(world: World, *keys: str, sample: bytes = b"", **form: Any) -> Any:
    chosen = {f"take:{key}": "yes" for key in keys}
    given = {"csrf": world.csrf(), "source": "mlflow", "there": "churn", "model": "churn", **chosen, **form}
    files = [("sample", ("sample.csv", sample))] if sample else [("sample", ("", b""))]
    return world.browser.post("/models-sync/start", data=given, files=files, follow_redirects=False)


def started(world: World, *keys: str, **more: Any) -> str:
    """The address of the page of a run."""
    found = take(world, *keys, **more)
    assert found.status_code == 303, found.text
    return str(found.headers["location"])


def waited(world: World, page: str, *shown: str) -> str:
    return waited_within(60, world, page, *shown)


ENDED = "has the versions."


def test_without_an_address_the_page_says_which_settings_are_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = signed_in(world, monkeypatch).browser.get("/models-sync").text
    assert "No registry is configured" in text and "CONSOLE_SYNC_MLFLOW" in text


def test_differences_are_shown_and_only_what_was_chosen_is_taken_over(ready: World, client: RegistryClient) -> None:
    assert 'href="/models-sync"' in ready.browser.get("/models").text
    assert 'href="/models-sync/source?source=mlflow"' in ready.browser.get("/models-sync").text
    assert "there=churn" in ready.browser.get("/models-sync/source?source=mlflow").text
    page = compared(ready)
    assert "only there" in page and 'name="take:1"' in page and 'name="take:2"' in page
    assert client.models() == (), "nothing is taken over before a person chose it"
    text = waited(ready, started(ready, "1"), ENDED)
    assert "Everything that you chose was taken over" in text and "registered as version 1" in text
    [version] = client.versions("churn")
    assert (version.tags, client.model("churn").aliases) == ({"team": "growth"}, {"production": 1})
    assert client.card_document("churn", 1).card.prose.notes == "first"
    assert client.model("churn").description == "Who leaves"
    source = client.manifest("churn", 1).source
    assert source is not None and (source.kind, source.revision) == ("mlflow", "1")
    page = compared(ready)
    assert 'name="take:1"' not in page and 'name="take:2"' in page
    assert not list((ready.folder / "syncs").rglob("model.skops")), "the registry has the files"


def test_what_a_person_changed_here_is_shown_and_stays(
    ready: World, mlflow: FakeMlflow, client: RegistryClient
) -> None:
    waited(ready, started(ready, "1", "2"), ENDED)
    client.label_version("churn", 1, tags={"team": "risk", "mine": "yes"}, reason="a person")
    mlflow.models["churn"].versions[0].tags = {"team": "sales", "tier": "1"}
    page = compared(ready)
    assert "a person changed it here" in page and "both sides changed it" in page and "changed there" in page
    waited(ready, started(ready, "1"), ENDED)
    assert client.version("churn", 1).tags == {"team": "risk", "mine": "yes", "tier": "1"}
    client.label_version("churn", 2, tags={"later": "1"}, reason="a person")
    client.drop_alias("churn", "production", expected_generation=1, reason="a person")
    waited(ready, started(ready, "1", "2"), "nothing to take over")
    assert client.version("churn", 2).tags == {"later": "1"}
    assert client.model("churn").aliases == {}


def test_a_version_that_cannot_be_registered_says_why_and_the_others_are_taken_over(
    ready: World, mlflow: FakeMlflow, client: RegistryClient
) -> None:
    mlflow.models["churn"].versions[0].files = {"notes.txt": b"no model"}
    text = waited(ready, started(ready, "1", "2"), ENDED)
    assert "1 could not be taken over" in text and "registered as version 1" in text
    assert [one.tags for one in client.versions("churn")] == [{}]


def test_a_source_that_is_away_is_named_and_the_run_continues_later(
    ready: World, mlflow: FakeMlflow, client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise ApiUnavailable(0, "unreachable", "no answer")

    with monkeypatch.context() as patched:
        patched.setattr(connection.Connection, "json", away)
        answer = ready.browser.get("/models-sync/model?source=mlflow&there=churn")
        assert (answer.status_code, f"MLflow ({mlflow.url}): no answer" in answer.text) == (502, True)
        listing = ready.browser.get("/models-sync/source?source=mlflow")
        assert (listing.status_code, f"MLflow ({mlflow.url}): no answer" in listing.text) == (502, True)
        page = started(ready, "1")
        assert f"MLflow ({mlflow.url}): no answer" in waited(ready, page, "Continue")
    assert press(ready, page, "start").status_code == 303
    waited(ready, page, ENDED)
    assert len(client.versions("churn")) == 1


def test_a_run_that_is_cancelled_or_interrupted_continues(
    ready: World, mlflow: FakeMlflow, client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(connection, "FIRST_PAUSE_S", 60.0)
        mlflow.cuts = 1_000
        page = started(ready, "1", "2")
        waited(ready, page, "interrupted")
        again = take(ready, "1")
        assert (again.status_code, "is being synchronised" in again.text) == (422, True)
        assert press(ready, page, "cancel").status_code == 303
        assert "It was stopped." in waited(ready, page, "Continue")
    mlflow.cuts = 0
    with monkeypatch.context() as patched:
        patched.setattr(Jobs, "start", lambda *_: True)  # the console is restarted before the job has its turn
        press(ready, page, "start")
        assert "The console was restarted." in ready.browser.get(page).text
    press(ready, page, "start")
    waited(ready, page, ENDED)
    assert len(client.versions("churn")) == 2


@pytest.mark.parametrize(
    ("keys", "form", "status", "shown"),
    [
        ((), {}, 422, "choose at least one version"),
        (("1",), {"model": "No name"}, 422, "Model:"),
        (("1",), {"source": "elsewhere"}, 404, "have no such registry"),
        (("1",), {"task": "guessing"}, 422, "task"),
        (("1",), {"csrf": "wrong"}, 403, "another session"),
    ],
)
def test_a_form_that_cannot_be_used_names_the_field_and_starts_nothing(
    ready: World, keys: tuple[str, ...], form: dict[str, Any], status: int, shown: str
) -> None:
    found = take(ready, *keys, **form)
    assert (found.status_code, shown in found.text) == (status, True), found.text
    assert not (ready.folder / "syncs").exists() or not list((ready.folder / "syncs").iterdir())


def test_who_may_not_register_sees_nothing_and_a_run_is_of_one_person(ready: World) -> None:
    page = started(ready, "1")
    waited(ready, page, ENDED)
    ready.principals["other-key"] = Principal("otto", "user", {"*": frozenset({"admin"})})
    ready.sign_in("other-key")
    assert ready.browser.get(page).status_code == 404
    ready.sign_in("viewer-key")
    for address in ("/models-sync", "/models-sync/source?source=mlflow", "/models-sync/model?source=mlflow"):
        assert ready.browser.get(address).status_code == 403
    assert take(ready, "1").status_code == 403
    assert "/models-sync" not in ready.browser.get("/models").text


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SageMaker with one package, whose files are `model.tar.gz`."""
    moto = pytest.importorskip("moto")
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CONSOLE_SYNC_SAGEMAKER", REGION)
    with moto.mock_aws():
        import boto3  # type: ignore[import-untyped]  # has no types

        s3, sagemaker = boto3.client("s3", region_name=REGION), boto3.client("sagemaker", region_name=REGION)
        s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="models", Key="model.tar.gz", Body=packed())
        sagemaker.create_model_package_group(ModelPackageGroupName="churn")
        containers = [
            {"Image": "1.dkr.ecr.eu-west-1.amazonaws.com/sklearn:1", "ModelDataUrl": "s3://models/model.tar.gz"}
        ]
        types = {"SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}
        sagemaker.create_model_package(
            ModelPackageGroupName="churn", InferenceSpecification={"Containers": containers, **types}
        )
        yield


def packed() -> bytes:
    data, model = io.BytesIO(), logged_model()["model.skops"]
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        info = tarfile.TarInfo("model.skops")
        info.size = len(model)
        archive.addfile(info, io.BytesIO(model))
    return data.getvalue()


SAMPLE = b"age,income,label\n" + b"".join(
    b"%d,%d,%s\n" % (age, age * 3, b"old" if age > 20 else b"young") for age in range(40)
)


@pytest.mark.slow
def test_an_archive_of_sagemaker_is_unpacked_and_read_by_a_confined_process(
    aws: None, world: World, client: RegistryClient
) -> None:
    world.principals[ADMIN_KEY] = Principal("anna", "user", {"*": frozenset({"admin"})})
    world.sign_in(ADMIN_KEY)
    assert "only there" in compared(world, "sagemaker")
    page = started(world, "1", source="sagemaker", sample=SAMPLE, target="label")
    assert "registered as version 1" in waited(world, page, ENDED)
    [version] = client.versions("churn")
    assert version.flavour == "skops"
    assert "No differences" in compared(world, "sagemaker")


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fake_azureml(churn=[{"description": "from a notebook"}]) as workspace:
        monkeypatch.setenv("CONSOLE_SYNC_AZUREML", workspace.url)
        monkeypatch.setenv("AZURE_ACCESS_TOKEN", workspace.token)
        yield


def test_azure_names_the_command_that_fetches_the_files(
    azure: None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in(world, monkeypatch)
    assert "only there" in compared(world, "azureml")
    text = waited(world, started(world, "1", source="azureml"), ENDED)
    assert "az ml model download --name churn --version 1" in text and "CONSOLE_SYNC_FILES_ROOT" in text


@pytest.mark.parametrize(
    ("variable", "value", "shown"),
    [
        ("CONSOLE_SYNC_MLFLOW", "ftp://mlflow.example.com", "write https://HOST"),
        ("CONSOLE_SYNC_MLFLOW", "https://a:b@mlflow.example.com", "without a name and password"),
        ("CONSOLE_SYNC_AZUREML", "https://management.azure.com/", "write the address of a workspace"),
    ],
)
def test_an_address_that_cannot_be_used_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, shown: str
) -> None:
    monkeypatch.setenv(variable, value)
    (tmp_path / "console.key").write_text("console-key-of-enough-letters")
    with pytest.raises(StartupError, match=shown):
        build(Settings(data_dir=tmp_path, service_key_file=tmp_path / "console.key"))
