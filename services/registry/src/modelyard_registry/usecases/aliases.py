"""Aliases: a name for one version, with a generation that only grows; moved by compare and swap."""

from typing import Final

from modelyard_contracts import ResourceChange, VersionStage
from modelyard_registry.domain.errors import AliasNotFound, MovedByRollouts, StaleGeneration, UnfitForAlias
from modelyard_registry.domain.names import CHALLENGER, CHAMPION, MODEL, check_alias
from modelyard_registry.domain.ports import Deps, Records, Unit
from modelyard_registry.domain.values import Alias, Origin, Resource, ResourceKey, Version
from modelyard_registry.usecases.history import publish

SERVABLE: Final = (VersionStage.APPROVED, VersionStage.LIVE)


def move_alias(
    deps: Deps, key: ResourceKey, name: str, number: int, *, expected_generation: int, origin: Origin
) -> Alias:
    """Point the alias at a version; StaleGeneration when another move came first."""
    _check_name(key, name)
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        version = unit.versions.get(resource, number)
        _check_generation(unit.aliases.get(resource, name), name, expected_generation)
        _check_fit(name, version)
        return point(unit, resource, name, version, origin)


def drop_alias(deps: Deps, key: ResourceKey, name: str, *, expected_generation: int, origin: Origin) -> None:
    """Remove the alias; its generation continues, so that an old decision cannot bring it back."""
    _check_name(key, name)
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        current = unit.aliases.get(resource, name)
        if current is None or current.version is None:
            raise AliasNotFound(key, name)
        _check_generation(current, name, expected_generation)
        point(unit, resource, name, None, origin)


def point(unit: Unit, resource: Resource, name: str, version: Version | None, origin: Origin) -> Alias:
    """Move the alias whatever its generation, and publish it. The caller holds the lock of the resource."""
    current = unit.aliases.get(resource, name)
    number, digest = (version.version, version.digest) if version else (None, None)
    generation = current.generation + 1 if current else 1
    alias = Alias(name, number, digest, generation, origin.actor, origin.reason, origin.at)
    unit.aliases.save(resource, alias)
    publish(
        unit,
        resource,
        ResourceChange.ALIAS_MOVED,
        origin,
        version=number,
        digest=digest,
        alias=name,
        alias_generation=generation,
    )
    return alias


def aliases_at(records: Records, resource: Resource, number: int) -> tuple[str, ...]:
    """Aliases of a version."""
    return tuple(alias.alias for alias in records.aliases.all(resource) if alias.version == number)


def _check_name(key: ResourceKey, name: str) -> None:
    check_alias(name)
    if key.kind == MODEL and name in (CHAMPION, CHALLENGER):
        raise MovedByRollouts(name)


def _check_generation(current: Alias | None, name: str, expected: int) -> None:
    generation = current.generation if current else 0
    if generation != expected:
        raise StaleGeneration(name, expected, generation)


def _check_fit(name: str, version: Version) -> None:
    fit = version.stage in SERVABLE if name == CHAMPION else version.stage is not VersionStage.PENDING
    if not fit:
        raise UnfitForAlias(name, version.version, version.stage)
