"""Decisions of people about a version."""

from modelyard_contracts import VersionStage as Stage
from modelyard_registry.domain.errors import AliasInUse, SamePerson, StaleStage
from modelyard_registry.domain.ports import Deps, Records
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.values import Origin, Resource, ResourceKey, Version
from modelyard_registry.usecases.admission import unsafe
from modelyard_registry.usecases.aliases import aliases_at
from modelyard_registry.usecases.cards import approve
from modelyard_registry.usecases.history import move
from modelyard_registry.usecases.policies import gate_of


def decide(
    deps: Deps,
    key: ResourceKey,
    number: int,
    signal: Signal,
    *,
    actor: str,
    reason: str,
    expected: Stage | None = None,
    alone: bool = False,
) -> Version:
    """Approve, reject or retire a version, by the table of stages.

    expected: the stage that the actor saw; StaleStage if the version has left it.
    alone: the actor may approve its own version whatever the gate policy requires.
    IllegalMove, AliasInUse, Inadmissible when the last scan refuses the version, or SamePerson when the gate policy
    asks for another person.
    """
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        version = unit.versions.get(resource, number)
        if expected is not None and version.stage is not expected:
            raise StaleStage(number, expected, version.stage)
        if signal is Signal.APPROVED and not alone:
            _refuse_same_person(unit, resource, version, actor)
        if signal is Signal.APPROVED and (refused := unsafe(unit, resource, version)):
            raise refused  # no decision of a person brings it back
        if signal in (Signal.RETIRED, Signal.REJECTED):
            _refuse_in_use(unit, resource, version)
        origin = Origin(actor, reason, deps.clock(), version.correlation_id, version.last_event_id)
        if signal is Signal.APPROVED:
            approve(unit, resource, version, origin)
        else:
            move(unit, resource, version, signal, origin)
        return unit.versions.get(resource, number)


def _refuse_same_person(records: Records, resource: Resource, version: Version, actor: str) -> None:
    _, gate = gate_of(records, resource)
    if gate.four_eyes and actor == version.created_by:
        raise SamePerson(version.version, actor)


def _refuse_in_use(records: Records, resource: Resource, version: Version) -> None:
    if held := aliases_at(records, resource, version.version):
        raise AliasInUse(version.version, held)
