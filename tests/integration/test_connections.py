"""modelyard connections, and modelyard register --api through one, against a real registry."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from modelyard import RegistryClient
from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform
from modelyard_registry.scanning.isolated import IsolatedScanner
from modelyard_registry.testing import InProcessRegistry

FILE = """\
endpoint: https://api.example.com/v1
secret: PROVIDER_API_KEY
models:
  small-1: {context_tokens: 8192, input_per_million_tokens: 150, output_per_million_tokens: 600}
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryClient]:
    with InProcessRegistry(tmp_path / "registry", scanner=IsolatedScanner()) as opened:
        client = RegistryClient("http://registry", opened.admin_key, timeout_s=60, transport=opened.transport)
        platform = SimpleNamespace(urls={"registry": opened.serve()}, token=opened.admin_key, registry=client)
        monkeypatch.setattr(Platform, "find", lambda *_: platform)
        (tmp_path / "prompts.csv").write_text("text,answer\nhello,hi\nbye,see you\n")
        yield client


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def written(tmp_path: Path, text: str, name: str = "connection.yaml") -> str:
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def register(tmp_path: Path, text: str) -> Result:
    sample = ["--sample", str(tmp_path / "prompts.csv"), "--task", "text", "--reason", "contract 7"]
    file = written(tmp_path, text, "provider.yaml")
    return run("register", "--api", file, "help", *sample, "--no-follow", "--data-dir", str(tmp_path))


def test_a_connection_is_set_shown_and_deleted(registry: RegistryClient, tmp_path: Path) -> None:
    file = written(tmp_path, FILE)
    for revision in (1, 1):  # the same file again changes nothing
        assert f"revision {revision}" in run("connections", "set", "provider", file).output
    dearer = written(tmp_path, FILE.replace("150", "200"))
    assert run("connections", "set", "provider", dearer, "--expected-revision", "7").exit_code == 1
    assert "revision 2" in run("connections", "set", "provider", dearer, "--reason", "new prices").output
    [listed] = json.loads(run("connections", "list", "-o", "json").output)
    assert (listed["name"], listed["document"]["secret"]) == ("provider", "PROVIDER_API_KEY")
    assert "input per million tokens 200" in " ".join(run("connections", "get", "provider").output.split())
    assert "new prices" in run("connections", "history", "provider").output
    assert run("connections", "delete", "provider").exit_code == 0
    assert registry.connections() == ()


@pytest.mark.parametrize("text", ["secret: sk-live-12345\nendpoint: https://a.example\n", "endpoint: http://a.example"])
def test_a_wrong_file_names_the_field_and_never_the_key(registry: RegistryClient, tmp_path: Path, text: str) -> None:
    result = run("connections", "set", "provider", written(tmp_path, text))
    assert result.exit_code == 2 and ("secret: must be" in result.output or "not encrypted" in result.output)
    assert "sk-live" not in result.output


def test_a_model_is_registered_through_a_connection_with_its_price(registry: RegistryClient, tmp_path: Path) -> None:
    assert run("connections", "set", "provider", written(tmp_path, FILE)).exit_code == 0
    for _ in range(2):
        result = register(tmp_path, "connection: provider\nmodel: small-1\n")
        assert result.exit_code == 0, result.output
    [version] = registry.versions("help")
    manifest = registry.manifest("help", version.version)
    assert (manifest.flavour, manifest.options["connection"]) == ("external-api", "provider")
    assert manifest.price.usd_per_1k_output_tokens == pytest.approx(0.6)
    assert manifest.source is not None and manifest.source.uri == "connection:provider"
    assert registry.connection("provider").used_by == ("help@1",)
    refused = run("connections", "delete", "provider")
    assert refused.exit_code == 1 and "is used by help@1" in " ".join(refused.output.split())


@pytest.mark.parametrize(
    ("text", "code", "problem"),
    [
        ("connection: nowhere\nmodel: small-1\n", 1, "there is no connection 'nowhere'"),
        ("connection: provider\nmodel: large-9\n", 2, "has no model large-9; it has small-1"),
        ("connection: provider\nmodel: small-1\nendpoint: https://a.example\n", 2, "is a fact of the connection"),
        ("connection: provider\n", 2, "model: is missing"),
    ],
)
def test_a_reference_that_does_not_fit_names_the_remedy(
    registry: RegistryClient, tmp_path: Path, text: str, code: int, problem: str
) -> None:
    assert run("connections", "set", "provider", written(tmp_path, FILE)).exit_code == 0
    result = register(tmp_path, text)
    assert (result.exit_code, problem in " ".join(result.output.split())) == (code, True), result.output
    assert registry.models() == ()


def bought(tmp_path: Path, *arguments: str) -> Result:
    sample = ["--sample", str(tmp_path / "prompts.csv"), "--reason", "contract 7", "--no-follow"]
    return run("register", *arguments, *sample, "--data-dir", str(tmp_path))


def test_a_bought_model_is_registered_without_a_file(registry: RegistryClient, tmp_path: Path) -> None:
    assert run("connections", "set", "provider", written(tmp_path, FILE)).exit_code == 0
    result = bought(tmp_path, "--connection", "provider", "--provider-model", "small-1", "help")
    assert result.exit_code == 0, result.output
    manifest = registry.manifest("help", 1)
    assert (manifest.task, manifest.options["connection"], manifest.permissions.network) == ("text", "provider", True)
    assert "not served" not in result.stderr
    size = ["--task", "embedding", "--dimension", "3", "--answers", "none"]
    result = bought(tmp_path, "--connection", "provider", "--provider-model", "small-1", "search", *size)
    assert result.exit_code == 2 and "takes one text, but the sample has the columns text" in result.output
    (tmp_path / "prompts.csv").write_text("text\nhello\nbye\n")
    result = bought(tmp_path, "--connection", "provider", "--provider-model", "small-1", "search", *size[:-2])
    assert result.exit_code == 0, result.output
    assert registry.manifest("search", 1).signature.width == 3


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--connection", "provider"], "set --provider-model as well"),
        (["--provider-model", "small-1"], "set --connection as well"),
        (["--connection", "provider", "--provider-model", "large-9"], "has no model large-9; it has small-1"),
        (["--connection", "provider", "--provider-model", "a b"], "--provider-model: model: "),
        (["--connection", "provider", "--provider-model", "small-1", "--task", "embedding"], "set --dimension"),
        (["--connection", "provider", "--provider-model", "small-1", "--dimension", "3"], "is for --task embedding"),
        (["--connection", "provider", "--provider-model", "small-1", "--task", "regression"], "text or embedding"),
        (["--connection", "provider", "--image", "a@sha256:1"], "give one of PATH, --connection"),
    ],
)
def test_what_a_bought_model_lacks_is_named(
    registry: RegistryClient, tmp_path: Path, arguments: list[str], problem: str
) -> None:
    assert run("connections", "set", "provider", written(tmp_path, FILE)).exit_code == 0
    result = bought(tmp_path, *arguments, "help")
    assert (result.exit_code, problem in " ".join(result.output.split())) == (2, True), result.output
    assert registry.models() == ()
