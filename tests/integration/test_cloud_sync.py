"""modelyard sync from emulated SageMaker and Azure ML into a real registry."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from modelyard import RegistryClient
from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform
from modelyard_devstack.testing.azureml import FakeAzureMl, fake_azureml
from modelyard_registry.testing import InProcessRegistry

REGION = "eu-west-1"
Sync = Callable[..., Any]


@pytest.fixture(scope="module")
def model() -> bytes:
    """A scikit-learn model in the format of skops."""
    import numpy as np
    import skops.io
    from sklearn.linear_model import LogisticRegression

    rows = np.arange(40.0).reshape(-1, 1)
    data: bytes = skops.io.dumps(LogisticRegression().fit(rows, np.where(rows[:, 0] > 20, "old", "young")))
    return data


@pytest.fixture
def sample(tmp_path: Path) -> str:
    path = tmp_path / "sample.csv"
    path.write_text("age,label\n" + "".join(f"{age},{'old' if age > 20 else 'young'}\n" for age in range(40)))
    return str(path)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryClient]:
    with InProcessRegistry(tmp_path / "registry") as opened:
        platform = SimpleNamespace(urls={"registry": opened.serve()}, token=opened.admin_key)
        monkeypatch.setattr(Platform, "find", lambda *_: platform)
        yield RegistryClient("http://registry", opened.admin_key, transport=opened.transport)


def synced(source: str, address: str, folder: Path, *more: str, code: int = 0) -> list[tuple[str, str, str, bool]]:
    """(what, name or version, state, done) of each difference."""
    given = ["sync", source, "--from", address, "--data-dir", str(folder), "-o", "json", *more]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == code, result.output
    found = [it for model in json.loads(result.stdout) for it in model["differences"]]
    return [(it["what"], it["name"] or it["version"], it["state"], it["done"]) for it in found]


def packed(**files: bytes) -> bytes:
    """A `model.tar.gz`; `_dot_` in a name is a dot."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name.replace("_dot_", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, model: bytes) -> Iterator[Any]:
    """SageMaker with one group of two packages; the first is approved."""
    moto = pytest.importorskip("moto")
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": REGION}.items():
        monkeypatch.setenv(name, value)
    with moto.mock_aws():
        import boto3  # type: ignore[import-untyped]  # has no types

        s3, sagemaker = boto3.client("s3", region_name=REGION), boto3.client("sagemaker", region_name=REGION)
        s3.create_bucket(Bucket="models", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="models", Key="churn/model.tar.gz", Body=packed(model_dot_skops=model))
        sagemaker.create_model_package_group(ModelPackageGroupName="churn", ModelPackageGroupDescription="Who leaves")
        world = SimpleNamespace(s3=s3, sagemaker=sagemaker, arns=[])
        for approval in ("Approved", "PendingManualApproval"):
            world.arns.append(package(world, approval))
        yield world


def package(world: Any, approval: str, url: str = "s3://models/churn/model.tar.gz") -> str:
    """Create a package of the group; returns its ARN."""
    containers = [{"Image": "1.dkr.ecr.eu-west-1.amazonaws.com/sklearn:1", "ModelDataUrl": url}]
    made = world.sagemaker.create_model_package(
        ModelPackageGroupName="churn",
        ModelPackageDescription="from a notebook",
        ModelApprovalStatus=approval,
        CustomerMetadataProperties={"team": "growth"},
        InferenceSpecification={
            "Containers": containers,
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    )
    return str(made["ModelPackageArn"])


def test_packages_of_sagemaker_are_listed_then_registered(
    aws: Any, registry: RegistryClient, tmp_path: Path, sample: str
) -> None:
    assert synced("sagemaker", REGION, tmp_path) == [
        ("version", "1", "missing here", False),
        ("version", "2", "missing here", False),
    ]
    synced("sagemaker", REGION, tmp_path, "--apply", "--model", "churn", "--sample", sample)
    first, second = registry.versions("churn")
    assert first.tags == {"team": "growth", "sagemaker.approval": "Approved"}
    assert second.tags["sagemaker.approval"] == "PendingManualApproval"
    assert first.stage == "registered"  # an approval there approves nothing here
    source = registry.manifest("churn", 1).source
    assert source is not None and source.kind == "sagemaker"
    assert source.uri.startswith(f"arn:aws:sagemaker:{REGION}:") and source.uri.endswith("/churn")
    assert registry.card_document("churn", 1).card.prose.notes == "from a notebook"
    assert synced("sagemaker", REGION, tmp_path, "--apply") == []


def test_an_approval_that_changed_there_is_a_tag_here(
    aws: Any, registry: RegistryClient, tmp_path: Path, sample: str
) -> None:
    synced("sagemaker", REGION, tmp_path, "--apply", "--model", "churn", "--sample", sample)
    kept = {"CustomerMetadataProperties": {"team": "growth"}}  # the emulator clears what an update leaves out
    aws.sagemaker.update_model_package(ModelPackageArn=aws.arns[1], ModelApprovalStatus="Rejected", **kept)
    assert synced("sagemaker", REGION, tmp_path, "--apply") == [("tag", "sagemaker.approval", "changed there", True)]
    assert registry.version("churn", 2).tags["sagemaker.approval"] == "Rejected"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"no archive", "damaged archive"),
        (packed(_dot__dot_=b"x"), "no version can hold"),
        (packed(**{"/etc/passwd": b"x"}), "no version can hold"),
        (packed(), "it is empty"),
    ],
    ids=["damaged", "parent", "absolute", "empty"],
)
def test_archives_that_cannot_be_unpacked_are_named(
    aws: Any, registry: RegistryClient, tmp_path: Path, sample: str, body: bytes, problem: str
) -> None:
    aws.s3.put_object(Bucket="models", Key="bad.tar.gz", Body=body)
    package(aws, "Approved", "s3://models/bad.tar.gz")
    more = ["--apply", "--model", "churn", "--sample", sample]
    result = CliRunner().invoke(app, ["sync", "sagemaker", "--from", REGION, "--data-dir", str(tmp_path), *more])
    assert (result.exit_code, problem in result.stdout.replace("\n", " ")) == (4, True), result.output
    assert len(registry.versions("churn")) == 2


def test_a_refusal_of_aws_names_the_remedy(aws: Any, registry: RegistryClient, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["sync", "sagemaker", "--from", "no region", "--data-dir", str(tmp_path)])
    assert (result.exit_code, "check --from (a region)" in result.stderr) == (1, True), result.output


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAzureMl]:
    first = {"description": "from a notebook", "tags": {"team": "growth"}, "stage": "Production"}
    with fake_azureml(churn=[first, {"isArchived": True}, {}]) as workspace:
        monkeypatch.setenv("AZURE_ACCESS_TOKEN", workspace.token)
        yield workspace


def downloaded(root: Path, version: int, model: bytes) -> None:
    """Put a model where `az ml model download` does."""
    folder = root / "churn" / str(version) / "churn"
    folder.mkdir(parents=True)
    (folder / "model.skops").write_bytes(model)


def test_versions_of_azure_are_registered_from_the_folder_of_their_downloads(
    azure: FakeAzureMl, registry: RegistryClient, tmp_path: Path, sample: str, model: bytes
) -> None:
    azure.page = 1
    downloaded(tmp_path / "az", 1, model)
    more = ["--model", "churn", "--sample", sample, "--files-root", str(tmp_path / "az")]
    found = synced("azureml", azure.url, tmp_path, "--apply", *more, code=4)
    assert ("version", "1", "missing here", True) in found
    assert ("version", "3", "missing here", False) in found
    [first] = registry.versions("churn")
    assert first.tags == {"team": "growth", "azureml.stage": "Production"}
    downloaded(tmp_path / "az", 3, model)
    synced("azureml", azure.url, tmp_path, "--apply", *more)
    assert synced("azureml", azure.url, tmp_path) == []


def test_a_missing_download_has_the_command_that_makes_it(
    azure: FakeAzureMl, registry: RegistryClient, tmp_path: Path
) -> None:
    result = CliRunner().invoke(
        app, ["sync", "azureml", "--from", azure.url, "--apply", "--data-dir", str(tmp_path), "-o", "json"]
    )
    assert result.exit_code == 4
    assert "az ml model download --name churn --version 1 --download-path FOLDER/churn/1" in result.stdout


def test_a_next_page_on_another_host_is_refused(azure: FakeAzureMl, registry: RegistryClient, tmp_path: Path) -> None:
    azure.page, azure.next_host = 1, "http://127.0.0.1:9"
    result = CliRunner().invoke(app, ["sync", "azureml", "--from", azure.url, "--data-dir", str(tmp_path)])
    assert (result.exit_code, "an address outside of" in result.stderr) == (1, True), result.output


@pytest.mark.parametrize(
    ("path", "token", "code", "problem"),
    [("", "azure-token", 2, "write the address of a workspace"), (None, "other", 1, "AZURE_ACCESS_TOKEN")],
)
def test_a_wrong_address_or_token_names_the_remedy(
    azure: FakeAzureMl,
    registry: RegistryClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str | None,
    token: str,
    code: int,
    problem: str,
) -> None:
    monkeypatch.setenv("AZURE_ACCESS_TOKEN", token)
    address = azure.url if path is None else f"{azure.host}/{path}"
    result = CliRunner().invoke(app, ["sync", "azureml", "--from", address, "--data-dir", str(tmp_path)])
    assert (result.exit_code, problem in result.stderr) == (code, True), result.output
