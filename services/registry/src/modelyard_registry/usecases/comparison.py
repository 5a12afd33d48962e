"""Two versions compared."""

import re
from typing import Final

from modelyard_contracts.comparison import VersionDiff, VersionName
from modelyard_contracts.manifest import ModelManifest
from modelyard_registry.domain.diff import Side, diff
from modelyard_registry.domain.kinds import read_document
from modelyard_registry.domain.names import model_key
from modelyard_registry.domain.ports import Deps, Records
from modelyard_registry.domain.values import ResourceKey
from modelyard_registry.usecases.cards import prose_of
from modelyard_runtime.errors import Invalid

_OTHER: Final = re.compile(r"(?:(?P<model>[^@]+)@)?(?P<version>[1-9][0-9]{0,8})")


def other_version(key: ResourceKey, text: str) -> tuple[ResourceKey, int]:
    """Parse `VERSION` of the same model or `MODEL@VERSION`; Invalid otherwise."""
    found = _OTHER.fullmatch(text)
    if found is None:
        raise Invalid(f"with: {text[:80]!r}: write VERSION, or MODEL@VERSION of another model", field="with")
    return (model_key(found["model"]) if found["model"] else key), int(found["version"])


def compare_versions(deps: Deps, before: tuple[ResourceKey, int], after: tuple[ResourceKey, int]) -> VersionDiff:
    """Return what differs between two versions of models."""
    with deps.storage.read() as records:
        return diff(_side(records, *before), _side(records, *after))


def _side(records: Records, key: ResourceKey, number: int) -> Side:
    resource = records.resources.get(key)
    version = records.versions.get(resource, number)
    name = VersionName(model=key.reference, version=number, digest=version.digest, semver=version.semver)
    manifest = read_document(ModelManifest, version.manifest)
    prose = prose_of(records, resource, number).prose
    return Side(name, manifest, records.tensors.of(resource, number), prose.model_dump())
