"""Stages and aliases follow the traffic that rollouts move. Every function is safe to repeat."""

from dataclasses import dataclass
from typing import Final

from modelyard_contracts import RolloutChanged, RolloutState, RolloutStrategy, VersionStage
from modelyard_registry.domain.names import CHALLENGER, CHAMPION, model_key
from modelyard_registry.domain.ports import Deps, Unit
from modelyard_registry.domain.stages import Signal, can_move
from modelyard_registry.domain.values import Origin, Resource, RolloutSeen, Version, VersionFilter
from modelyard_registry.usecases.aliases import point
from modelyard_registry.usecases.history import move, note_event

SETTLING: Final = (RolloutState.PROMOTED, RolloutState.ROLLED_BACK)
"""States after which another version serves."""
ENDED_EARLY: Final = (RolloutState.ABORTED, RolloutState.FAILED)
ALL_LIVE: Final = 1_000


@dataclass(frozen=True)
class _Change:
    """One rollout event inside the transaction that applies it."""

    unit: Unit
    resource: Resource
    event: RolloutChanged
    to: Version
    origin: Origin


def record_rollout(deps: Deps, event: RolloutChanged) -> None:
    """Apply a rollout event; one that is older than what is known of its rollout is only recorded."""
    with deps.storage.transaction() as unit:
        if not unit.claim(event.event_id):
            return
        resource = unit.resources.lock(model_key(event.model))
        to = unit.versions.get(resource, event.to_version)
        origin = Origin("deployer", event.reason, deps.clock(), event.correlation_id, event.event_id)
        note_event(unit, resource, event, "rollout_changed", origin, version=to.version)
        if _is_newer(unit, event):
            _apply(_Change(unit, resource, event, to, origin))


def _is_newer(unit: Unit, event: RolloutChanged) -> bool:
    """False when the same or a later revision of this rollout is known; remembers the event otherwise."""
    seen = unit.rollouts.get(event.rollout_id)
    if seen is not None and seen.revision >= event.revision:
        return False
    unit.rollouts.save(RolloutSeen(event.rollout_id, event.model, event.revision, event.state, event.occurred_at))
    return True


def _apply(change: _Change) -> None:
    event = change.event
    if event.state in ENDED_EARLY:
        _end_early(change)
    elif not _traffic_moved_since(change.unit, event):
        if event.state in SETTLING:
            _settle(change)
        elif event.state is RolloutState.SHIFTING and event.strategy is RolloutStrategy.CANARY and event.from_version:
            _point(change, CHALLENGER, change.to)


def _end_early(change: _Change) -> None:
    _drop_challenger(change, only=change.to)
    if change.to.stage is not VersionStage.LIVE and not _keeps_its_approval(change):
        _move_if_legal(change, change.to, Signal.ROLLED_BACK)


def _keeps_its_approval(change: _Change) -> bool:
    """True for a version that was superseded, or served before or held a live share, without evidence against it.

    Any other end rejects a version that never served: only its evaluation supported it. A superseded version has done
    no harm, and may have its turn when its successor is not promoted. A live share ends before the evaluation does.
    """
    if change.event.superseded_by is not None:
        return True
    blameless = change.event.state is RolloutState.FAILED or not change.event.speaks_against_version
    if blameless and change.event.live_share:
        return True
    return blameless and change.unit.history.has_been(change.resource, change.to.version, VersionStage.LIVE)


def _traffic_moved_since(unit: Unit, event: RolloutChanged) -> bool:
    """True when another rollout settled after this event, which then does not show who serves now."""
    settled = unit.rollouts.last_settled(event.model, event.rollout_id)
    return settled is not None and event.occurred_at < settled


def _settle(change: _Change) -> None:
    """`to` serves now: every other live version leaves, the champion moves, the challenger is dropped.

    A snapshot of an online learner joins a vote without leading it; one that replaces an older snapshot is the champion
    only if that one was, and the older one retires.
    """
    replaced = _replaced(change)
    if not change.event.keeps_champion and (replaced is None or replaced.stage is VersionStage.LIVE):
        _promote(change)
    if replaced is not None:
        now = change.unit.versions.get(change.resource, replaced.version)
        _move_if_legal(change, now, Signal.RETIRED)


def _replaced(change: _Change) -> Version | None:
    number = change.event.replaces
    return None if number is None else change.unit.versions.get(change.resource, number)


def _promote(change: _Change) -> None:
    left = Signal.ROLLED_BACK if change.event.state is RolloutState.ROLLED_BACK else Signal.REPLACED
    live = VersionFilter(stage=VersionStage.LIVE)
    for version in change.unit.versions.page(change.resource, 0, ALL_LIVE, live):
        if version.version != change.to.version:
            _move_if_legal(change, version, left)
    _move_if_legal(change, change.to, Signal.PROMOTED)
    _point(change, CHAMPION, change.to)
    _drop_challenger(change)


def _move_if_legal(change: _Change, version: Version, signal: Signal) -> None:
    """Traffic is a fact: when the table has no such move the stage stays, and the recorded event names the reason."""
    if can_move(version.stage, signal):
        move(change.unit, change.resource, version, signal, change.origin)


def _point(change: _Change, alias: str, version: Version) -> None:
    current = change.unit.aliases.get(change.resource, alias)
    if current is None or current.version != version.version:
        point(change.unit, change.resource, alias, version, change.origin)


def _drop_challenger(change: _Change, *, only: Version | None = None) -> None:
    current = change.unit.aliases.get(change.resource, CHALLENGER)
    if current is None or current.version is None:
        return
    if only is None or current.version == only.version:
        point(change.unit, change.resource, CHALLENGER, None, change.origin)
