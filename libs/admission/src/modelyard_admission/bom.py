"""A bill of materials for a model: CycloneDX 1.6 with a machine-learning-model component.

Format: https://cyclonedx.org/docs/1.6/json/ (bomFormat, specVersion, metadata.component, components, dependencies).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid5

from modelyard_contracts.admission import ScanReport

SPEC_VERSION: Final = "1.6"
_NAMESPACE: Final = UUID("0d1c5c5e-4f0e-5c0b-9d4b-6d6f64656c79")
"""Serial numbers are hashed below it, so that the same facts give the same document."""
_TASKS: Final = {
    "binary": "classification",
    "multiclass": "classification",
    "regression": "regression",
    "text": "text generation",
}
_LICENCE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class BomFacts:
    """What a registry records about a version.

    files: SHA-256 in hexadecimal digits by path. requirements: exact version by package of PyPI. licence: an SPDX
    identifier or a name. properties: further facts, such as the digest of the data.
    """

    name: str
    version: str
    created_at: str
    """RFC 3339, with a zone."""
    files: Mapping[str, str]
    task: str | None = None
    framework: str | None = None
    flavour: str | None = None
    description: str | None = None
    licence: str | None = None
    owner: str | None = None
    source: str | None = None
    """Address of the origin, such as a repository."""
    requirements: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


def ml_bom(facts: BomFacts, report: ScanReport | None) -> dict[str, Any]:
    """The document as JSON values; equal facts and reports give equal documents."""
    model = _model(facts, report)
    packages = [_package(name, version) for name, version in sorted(facts.requirements.items())]
    depends = {"ref": model["bom-ref"], "dependsOn": [package["bom-ref"] for package in packages]}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid5(_NAMESPACE, repr(facts))}",
        "version": 1,
        "metadata": {"timestamp": facts.created_at, "component": model},
        "components": [*(_file(path, digest) for path, digest in sorted(facts.files.items())), *packages],
        "dependencies": [depends, *({"ref": package["bom-ref"], "dependsOn": []} for package in packages)],
        **({"vulnerabilities": _vulnerabilities(report)} if report and report.dependencies else {}),
    }


def _model(facts: BomFacts, report: ScanReport | None) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{facts.name}@{facts.version}",
        "name": facts.name,
        "version": facts.version,
        "modelCard": _card(facts),
        "properties": _properties(facts, report),
    }
    if facts.description:
        component["description"] = facts.description
    if facts.licence:
        component["licenses"] = [{"license": _licence(facts.licence)}]
    if facts.owner:
        component["manufacturer"] = {"name": facts.owner}
    if facts.source:
        component["externalReferences"] = [{"type": "distribution", "url": facts.source}]
    return component


def _licence(licence: str) -> dict[str, str]:
    return {"id": licence} if _LICENCE_ID.fullmatch(licence) and licence in KNOWN_LICENCES else {"name": licence}


KNOWN_LICENCES: Final = frozenset(
    {
        "AGPL-3.0-only",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC-BY-4.0",
        "CC-BY-NC-4.0",
        "CC-BY-SA-4.0",
        "CC0-1.0",
    }
    | {"GPL-2.0-only", "GPL-3.0-only", "ISC", "LGPL-2.1-only", "LGPL-3.0-only", "MIT", "MPL-2.0", "Unlicense"}
)
"""SPDX identifiers that are written as such; the schema refuses an identifier that SPDX does not list."""


def _card(facts: BomFacts) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    if facts.task:
        parameters["task"] = _TASKS.get(facts.task, facts.task)
    if facts.framework:
        parameters["architectureFamily"] = facts.framework
    return {"modelParameters": parameters}


def _properties(facts: BomFacts, report: ScanReport | None) -> list[dict[str, str]]:
    found = {f"modelyard:{name}": value for name, value in facts.properties.items()}
    if facts.flavour:
        found["modelyard:flavour"] = facts.flavour
    if report is not None:
        found["modelyard:scan:verdict"] = report.verdict.value
        found["modelyard:scan:rules"] = report.rules_version
        found["modelyard:scan:findings"] = str(len(report.findings))
    return [{"name": name, "value": value} for name, value in sorted(found.items())]


def _file(path: str, sha256: str) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": sha256}]
    return {"type": "file", "bom-ref": f"file:{path}", "name": path, "hashes": hashes}


def _package(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _vulnerabilities(report: ScanReport) -> list[dict[str, Any]]:
    known = report.dependencies.vulnerabilities if report.dependencies else ()
    return [
        {
            "id": found.id,
            "source": {"name": "OSV"},
            "description": found.summary,
            "affects": [{"ref": f"pkg:pypi/{found.package}@{found.version}"}],
        }
        for found in known
    ]
