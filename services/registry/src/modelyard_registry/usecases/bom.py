"""The bill of materials of a model version."""

from typing import Any

from modelyard_admission import BomFacts, ml_bom
from modelyard_contracts.manifest import ModelManifest
from modelyard_registry.domain.kinds import read_document
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.values import Resource, ResourceKey, Version


def bill_of_materials(deps: Deps, key: ResourceKey, number: int) -> dict[str, Any]:
    """Return the CycloneDX document of a version, with its scan if there is one."""
    with deps.storage.read() as records:
        resource = records.resources.get(key)
        version = records.versions.get(resource, number)
        scan = records.scans.get(resource, number)
    return ml_bom(_facts(resource, version), scan.report if scan else None)


def _facts(resource: Resource, version: Version) -> BomFacts:
    manifest = read_document(ModelManifest, version.manifest)
    source = manifest.source
    return BomFacts(
        name=resource.key.reference,
        version=version.semver or str(version.version),
        created_at=version.created_at.isoformat(),
        files={entry.path: entry.digest.removeprefix("sha256:") for entry in manifest.files},
        task=manifest.task.value,
        framework=(source.framework if source else "") or None,
        flavour=manifest.flavour,
        description=resource.description or None,
        licence=version.license,
        owner=resource.owner or None,
        source=(source.uri if source else "") or None,
        requirements=manifest.environment,
        properties=_properties(version, manifest),
    )


def _properties(version: Version, manifest: ModelManifest) -> dict[str, str]:
    found = {
        "digest": version.digest,
        "dataset_digest": manifest.training.dataset_digest,
        "base_model": manifest.source.base_model if manifest.source else None,
        "revision": manifest.source.revision if manifest.source else None,
        "card_digest": version.card_digest,
    }
    return {name: value for name, value in found.items() if value}
