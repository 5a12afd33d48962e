"""The bill of materials follows CycloneDX 1.6, as far as its schema restricts what is written here."""

import json
import re
from typing import Any

import pytest

from modelyard_admission import BomFacts, ml_bom
from modelyard_contracts.admission import DependencyScan, ScanReport, ScanVerdict, Vulnerability

FACTS = BomFacts(
    name="churn",
    version="3",
    created_at="2026-11-29T12:00:00Z",
    files={"model.onnx": "ab" * 32},
    task="binary",
    framework="onnx",
    flavour="onnx",
    licence="Apache-2.0",
    owner="Team Churn",
    source="https://models.example/churn",
    requirements={"Some_Package": "1.9"},
)
REPORT = ScanReport(
    rules_version="1",
    verdict=ScanVerdict.SAFE_FORMAT,
    dependencies=DependencyScan(
        checked=1, vulnerabilities=(Vulnerability(package="some-package", version="1.9", id="PYSEC-2026-1"),)
    ),
)
COMPONENT_TYPES = {"file", "library", "machine-learning-model"}
COMPONENT_KEYS = {
    "type", "bom-ref", "name", "version", "description", "hashes", "licenses", "purl", "externalReferences",
    "properties", "modelCard", "manufacturer",
}  # fmt: skip


def _components(bom: dict[str, Any]) -> list[dict[str, Any]]:
    return [bom["metadata"]["component"], *bom["components"]]


@pytest.mark.parametrize("report", [None, REPORT], ids=["no scan", "scan"])
def test_the_document_follows_the_schema(report: ScanReport | None) -> None:
    bom = json.loads(json.dumps(ml_bom(FACTS, report)))

    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"])
    for component in _components(bom):
        assert component["type"] in COMPONENT_TYPES
        assert component["name"]
        assert set(component) <= COMPONENT_KEYS
        assert ("modelCard" in component) == (component["type"] == "machine-learning-model")
        assert all(re.fullmatch(r"[a-fA-F0-9]{64}", hashed["content"]) for hashed in component.get("hashes", []))


def test_references_are_unique_and_every_dependency_refers_to_a_component() -> None:
    bom = ml_bom(FACTS, REPORT)

    references = [component["bom-ref"] for component in _components(bom)]
    assert len(set(references)) == len(references)
    for dependency in bom["dependencies"]:
        assert {dependency["ref"], *dependency["dependsOn"]} <= set(references)
    assert {affected["ref"] for found in bom["vulnerabilities"] for affected in found["affects"]} <= set(references)


def test_the_model_states_its_licence_owner_task_and_scan() -> None:
    model = ml_bom(FACTS, REPORT)["metadata"]["component"]

    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert model["manufacturer"] == {"name": "Team Churn"}
    assert model["modelCard"]["modelParameters"] == {"task": "classification", "architectureFamily": "onnx"}
    assert {"name": "modelyard:scan:verdict", "value": "safe_format"} in model["properties"]


def test_a_licence_that_spdx_does_not_list_is_a_name() -> None:
    facts = BomFacts(name="m", version="1", created_at="2026-11-29T12:00:00Z", files={}, licence="Our own terms")

    assert ml_bom(facts, None)["metadata"]["component"]["licenses"] == [{"license": {"name": "Our own terms"}}]


def test_equal_facts_give_equal_documents() -> None:
    assert ml_bom(FACTS, REPORT) == ml_bom(FACTS, REPORT)
