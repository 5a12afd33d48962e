"""modelyard register --image and --api into a real registry that scans."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner, Result

from modelyard import RegistryClient
from modelyard_cli.__main__ import app
from modelyard_cli.context import Platform
from modelyard_contracts.admission import ScanVerdict
from modelyard_registry.scanning.isolated import IsolatedScanner
from modelyard_registry.testing import InProcessRegistry

IMAGE = f"registry.example.com/churn@sha256:{'a' * 64}"
ALLOWED = ["--allow-code", "--reason", "scanned in CI"]
API = (
    "endpoint: https://api.example.com/v1\nmodel: small-1\ncontext_tokens: 8192\nsecret: PROVIDER_API_KEY\n"
    "price:\n  usd_per_1k_input_tokens: 0.15\n"
)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistryClient]:
    with InProcessRegistry(tmp_path / "registry", scanner=IsolatedScanner()) as opened:
        platform = SimpleNamespace(urls={"registry": opened.serve()}, token=opened.admin_key)
        monkeypatch.setattr(Platform, "find", lambda *_: platform)
        yield RegistryClient("http://registry", opened.admin_key, timeout_s=60, transport=opened.transport)


@pytest.fixture
def sample(tmp_path: Path) -> str:
    path = tmp_path / "rows.csv"
    path.write_text("age,label\n" + "".join(f"{age},{'old' if age > 20 else 'young'}\n" for age in range(40)))
    return str(path)


def register(tmp_path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["register", "--data-dir", str(tmp_path), *arguments])


def test_an_image_is_registered_with_its_finding_and_a_card(
    registry: RegistryClient, tmp_path: Path, sample: str
) -> None:
    given = ["--image", IMAGE, "churn", "--sample", sample, *ALLOWED, "--license", "MIT"]
    for _ in range(2):
        result = register(tmp_path, *given)
        assert result.exit_code == 0, result.output
    [version] = registry.versions("churn")
    assert (version.flavour, version.scan_verdict, version.license) == ("container", ScanVerdict.SUSPICIOUS, "MIT")
    [scanned] = [file for file in registry.scan("churn", 1).report.files if file.path == "container.json"]
    assert scanned.findings[0].rule == "container-image"
    card = registry.card("churn", 1)
    assert f"source: image {IMAGE}" in card and "permissions: code (scanned in CI)" in card
    assert "not served" in result.stderr


def test_a_model_of_a_provider_is_registered_with_its_price(
    registry: RegistryClient, tmp_path: Path, sample: str
) -> None:
    (tmp_path / "api.yaml").write_text(API)
    given = ["--api", str(tmp_path / "api.yaml"), "help", "--sample", sample, "--reason", "contract 7"]
    result = register(tmp_path, *given)
    assert result.exit_code == 0, result.output
    manifest = registry.manifest("help", 1)
    assert (manifest.flavour, manifest.permissions.network) == ("external-api", True)
    assert manifest.price.usd_per_1k_input_tokens == 0.15


def test_a_model_that_generates_text_takes_prompts_as_its_sample(registry: RegistryClient, tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(API)
    (tmp_path / "prompts.csv").write_text("text,answer\nhello,hi\nbye,see you\n")
    given = ["--sample", str(tmp_path / "prompts.csv"), "--task", "text", "--reason", "contract 7"]
    result = register(tmp_path, "--api", str(tmp_path / "api.yaml"), "help", *given)
    assert result.exit_code == 0, result.output
    assert registry.manifest("help", 1).task == "text"


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["--image", "churn:latest", "churn", *ALLOWED], 2, "a tag may name another image tomorrow"),
        (["--image", IMAGE, "churn"], 4, "set --allow-code"),
        (["--image", IMAGE, "model.skops", "churn", *ALLOWED], 2, "give one of PATH, --connection, --image and --api"),
        (["--image", IMAGE, "--api", "api.yaml", "churn"], 2, "give one of PATH, --connection, --image and --api"),
        (["--api", "none.yaml", "churn", "--reason", "r"], 2, "cannot be read"),
        (["model.skops"], 2, "give PATH and MODEL"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_cannot_be_registered_names_the_remedy(
    tmp_path: Path, sample: str, arguments: list[str], code: int, problem: str
) -> None:
    result = register(tmp_path, *arguments, "--sample", sample)
    assert (result.exit_code, problem in result.output) == (code, True), result.output
