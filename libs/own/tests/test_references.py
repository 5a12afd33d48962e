"""Models that are not files: references are checked, and the documents of them are the same every time."""

import json
from pathlib import Path

import pytest

from modelyard_own import Description, Plan, Request, UnfitModel, api_reference, image_reference, plan_of

from .conftest import write

DIGEST = f"sha256:{'a' * 64}"
IMAGE = f"registry.example.com:5000/team/churn@{DIGEST}"
API = "endpoint: https://api.example.com/v1\nmodel: small-1\ncontext_tokens: 8192\nsecret: PROVIDER_API_KEY\n"
PRICES = "price:\n  usd_per_1k_input_tokens: 0.15\n  usd_per_1k_output_tokens: 0.6\n"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write(tmp_path / "rows.csv", "age,label", *(f"{age},{'old' if age > 20 else 'young'}" for age in range(40)))


def planned_image(folder: Path, rows: Path, *, code: bool = True) -> Plan:
    path, origin = image_reference(IMAGE, folder)
    return plan_of(Request(path, Description(sample=str(rows)), code=code, reason="scanned in CI", origin=origin))


def test_an_image_is_a_version_with_its_digest_and_a_permission_for_code(tmp_path: Path, rows: Path) -> None:
    plan = planned_image(tmp_path, rows)
    assert (plan.flavour, plan.source.kind, plan.source.uri, plan.source.revision) == (
        "container",
        "image",
        IMAGE,
        DIGEST,
    )
    assert (plan.permissions.code, plan.permissions.reason) == (True, "scanned in CI")
    assert [file.path for file in plan.files] == ["container.json"]
    assert json.loads((tmp_path / "container.json").read_text())["image"] == IMAGE
    assert any("registered, but not tried and not served" in note for note in plan.notes)


def test_the_same_image_makes_the_same_manifest(tmp_path: Path, rows: Path) -> None:
    made = [planned_image(tmp_path, rows).manifest("churn", None, ()) for _ in range(2)]
    assert made[0] == made[1]


def test_an_image_without_the_permission_is_refused(tmp_path: Path, rows: Path) -> None:
    with pytest.raises(UnfitModel, match="not scanned here, which needs a permission; set --allow-code"):
        planned_image(tmp_path, rows, code=False)


@pytest.mark.parametrize(
    "image",
    ["churn", "churn:latest", "churn@sha256:12", f"Churn@{DIGEST}", f"a b@{DIGEST}", f"churn@{DIGEST}\n", ""],
)
def test_an_image_is_named_by_its_digest(tmp_path: Path, image: str) -> None:
    with pytest.raises(UnfitModel, match="registry/name@sha256:DIGEST; a tag may name another image tomorrow"):
        image_reference(image, tmp_path)


def test_a_model_behind_an_api_has_its_endpoint_prices_and_the_name_of_its_secret(tmp_path: Path) -> None:
    path, origin, price = api_reference(write(tmp_path / "api.yaml", API + PRICES), tmp_path / "out")
    sample = write(tmp_path / "rows.csv", "text,answer", "hello,hi", "bye,see you")
    stated = Description(sample=str(sample), task="text", price=price)
    plan = plan_of(Request(path, stated, network=True, reason="contract 7", origin=origin))
    assert (plan.flavour, plan.source.kind, plan.source.uri) == ("external-api", "api", "https://api.example.com/v1")
    assert (plan.permissions.network, plan.permissions.code) == (True, False)
    assert plan.price.usd_per_1k_output_tokens == 0.6
    document = json.loads(path.read_text())
    assert (document["model"], document["context_tokens"], document["secret"]) == ("small-1", 8192, "PROVIDER_API_KEY")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (API.replace("https:", "http:"), "endpoint: "),
        (API.replace("api.example.com", "me:pass@api.example.com"), "endpoint: "),
        (API.replace("PROVIDER_API_KEY", "sk-12345"), "secret: write the NAME of the environment variable"),
        (API.replace("8192", "0"), "context_tokens: "),
        (API.replace("model: small-1\n", ""), "model: "),
        (API + "temperature: 1\n", "temperature: "),
        (API + "price:\n  usd_per_token: 1\n", "usd_per_token: "),
        ("- a\n", "write fields such as"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_a_wrong_field_of_an_api_is_named_and_no_secret_is_shown(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UnfitModel) as raised:
        api_reference(write(tmp_path / "api.yaml", text), tmp_path)
    assert problem in str(raised.value)
    assert "sk-12345" not in str(raised.value) and "pass" not in str(raised.value)
