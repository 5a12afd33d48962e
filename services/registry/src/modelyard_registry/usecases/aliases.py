"""Aliases: one name, one version, one generation that only grows; moved by compare and swap."""

from modelyard_contracts import ResourceChange, VersionStage
from modelyard_registry.domain.errors import AliasNotFound, StaleGeneration, UnfitForAlias
from modelyard_registry.domain.names import CHAMPION, check_alias
from modelyard_registry.domain.ports import Deps, Unit
from modelyard_registry.domain.values import Alias, Story, Version
from modelyard_registry.usecases.ledger import tell

SERVABLE = (VersionStage.APPROVED, VersionStage.LIVE)


def move_alias(deps: Deps, model: str, name: str, number: int, *, expected_generation: int, story: Story) -> Alias:
    """Point the alias at a version; StaleGeneration when another move came first."""
    check_alias(name)
    with deps.storage.transaction() as unit:
        unit.records.lock_model(model)
        version = unit.records.version(model, number)
        _check_generation(unit.records.alias(model, name), name, expected_generation)
        _check_fit(name, version)
        return point(unit, model, name, version, story)


def drop_alias(deps: Deps, model: str, name: str, *, expected_generation: int, story: Story) -> None:
    """Let the alias point nowhere; its generation goes on, so that an old decision cannot bring it back."""
    with deps.storage.transaction() as unit:
        unit.records.lock_model(model)
        current = unit.records.alias(model, name)
        if current is None or current.version is None:
            raise AliasNotFound(model, name)
        _check_generation(current, name, expected_generation)
        point(unit, model, name, None, story)


def point(unit: Unit, model: str, name: str, version: Version | None, story: Story) -> Alias:
    """Move the alias whatever its generation and tell it. The caller holds the lock of the model."""
    current = unit.records.alias(model, name)
    number, digest = (version.version, version.digest) if version else (None, None)
    generation = current.generation + 1 if current else 1
    alias = Alias(name, number, digest, generation, story.actor, story.reason, story.at)
    unit.records.save_alias(model, alias)
    tell(
        unit,
        model,
        ResourceChange.ALIAS_MOVED,
        story,
        version=number,
        digest=digest,
        alias=name,
        alias_generation=generation,
    )
    return alias


def _check_generation(current: Alias | None, name: str, expected: int) -> None:
    generation = current.generation if current else 0
    if generation != expected:
        raise StaleGeneration(name, expected, generation)


def _check_fit(name: str, version: Version) -> None:
    fit = version.stage in SERVABLE if name == CHAMPION else version.stage is not VersionStage.PENDING
    if not fit:
        raise UnfitForAlias(name, version.version, version.stage)
