"""Cards of model versions: assembled from facts, edited in revisions, frozen when the version is approved."""

from typing import Final
from uuid import UUID

from modelyard_contracts.card import CardDocument, CardProse, CardRevision, ModelCard
from modelyard_contracts.documents import canonical_json, digest_of
from modelyard_contracts.manifest import ModelManifest
from modelyard_registry.domain.cards import Written, card_of
from modelyard_registry.domain.errors import StaleCard
from modelyard_registry.domain.kinds import read_document
from modelyard_registry.domain.names import MODEL
from modelyard_registry.domain.ports import Deps, Records, Unit
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.values import Origin, Resource, ResourceKey, Version
from modelyard_registry.usecases.history import move, note

CARD_EDITED: Final = "card_edited"
EVALUATED: Final = "evaluation_finished"


def show_card(deps: Deps, key: ResourceKey, number: int) -> CardDocument:
    """Return the card of today, and whether it was edited after the version was approved."""
    with deps.storage.read() as records:
        resource = records.resources.get(key)
        version = records.versions.get(resource, number)
        card = _card(records, resource, version)
        release = records.cards.release(resource, number)
    late = release is not None and card.prose_revision > release.prose_revision
    return CardDocument(card=card, release=release, edited_after_release=late)


def edit_card(
    deps: Deps, key: ResourceKey, number: int, prose: CardProse, *, expected_revision: int, origin: Origin
) -> CardRevision:
    """Store a new revision of the prose; equal prose changes nothing.

    expected_revision: the newest one that the author saw, 0 for none; StaleCard when another came first.
    """
    with deps.storage.transaction() as unit:
        resource = unit.resources.lock(key)
        unit.versions.get(resource, number)
        newest = unit.cards.newest(resource, number)
        current = newest.revision if newest else 0
        if expected_revision != current:
            raise StaleCard(number, expected_revision, current)
        if newest is not None and newest.prose == prose:
            return newest
        made = CardRevision(
            revision=current + 1, prose=prose, actor=origin.actor, reason=origin.reason, written_at=origin.at
        )
        unit.cards.add(resource, number, made)
        note(unit, resource, CARD_EDITED, origin, {"revision": made.revision}, version=number)
        return made


def approve(unit: Unit, resource: Resource, version: Version, origin: Origin) -> UUID:
    """Move a version to `approved`; its first approval freezes the card. The caller holds the lock."""
    event_id = move(unit, resource, version, Signal.APPROVED, origin)
    if resource.key.kind == MODEL and unit.cards.release(resource, version.version) is None:
        card = _card(unit, resource, unit.versions.get(resource, version.version))
        data = canonical_json(card.model_dump(mode="json"))
        unit.cards.freeze(resource, version.version, card.prose_revision, data, digest_of(data), origin.at)
    return event_id


def prose_of(records: Records, resource: Resource, number: int) -> Written:
    """Return the newest prose of a version."""
    newest = records.cards.newest(resource, number)
    return Written(newest.prose, newest.revision) if newest else Written()


def _card(records: Records, resource: Resource, version: Version) -> ModelCard:
    number = version.version
    return card_of(
        resource,
        version,
        read_document(ModelManifest, version.manifest),
        evaluated=records.history.last_of(resource, number, EVALUATED),
        scan=records.scans.get(resource, number),
        written=prose_of(records, resource, number),
    )
