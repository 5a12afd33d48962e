"""What the deployer does, whoever asks. It only writes down what is wanted; the reconciler makes it so."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from modelyard_contracts import (
    AlertRaised,
    ResourceChange,
    ResourceChanged,
    RolloutAction,
    RolloutRequested,
    RolloutState,
    RolloutStrategy,
    RouteApplied,
    Severity,
    VersionStage,
    derived_id,
)
from modelyard_deployer import store
from modelyard_deployer.domain.model import Kind, Rollout
from modelyard_runtime.database import Transaction
from modelyard_runtime.errors import Conflict, Invalid

WITHDRAWN = frozenset({VersionStage.REJECTED, VersionStage.RETIRED})


class NothingToRollBack(Conflict):
    code = "nothing_to_roll_back"


class NothingToAbort(Conflict):
    code = "nothing_to_abort"


@dataclass(frozen=True)
class Wish:
    """What somebody asks for. `id` becomes the rollout's: the same wish twice is one rollout."""

    id: UUID
    model: str
    action: RolloutAction
    correlation_id: UUID
    requested_by: str
    version: int | None = None
    strategy: RolloutStrategy | None = None
    reason: str = ""
    cause_id: UUID | None = None


def fulfil(tx: Transaction, wish: Wish, at: datetime) -> Rollout:
    """Write the wish down; returns the rollout it became, or the one it ends.

    Invalid, NothingToRollBack and NothingToAbort say what is wrong with it.
    """
    known = store.rollout(tx.connection, wish.id)
    if known is not None:
        return known
    if wish.action is RolloutAction.START:
        return _start(tx, wish, at)
    if wish.action is RolloutAction.ABORT:
        return _abort(tx, wish, at)
    return _roll_back(tx, wish, at)


def _start(tx: Transaction, wish: Wish, at: datetime) -> Rollout:
    """Queue it; of several that wait the newest wins. One that is under way is not disturbed."""
    if wish.version is None:
        raise Invalid("version: required to start a rollout; name the version that shall serve", field="version")
    for waiting in store.snapshot(tx.connection, wish.model, at).waiting:
        if waiting.kind is Kind.START and waiting.to_version == wish.version:
            return waiting
        if waiting.kind is Kind.START:
            _supersede(tx, waiting, f"version {wish.version} was asked for before its turn came", at)
    return _add(tx, wish, wish.version, Kind.START, at)


def _abort(tx: Transaction, wish: Wish, at: datetime) -> Rollout:
    now = store.snapshot(tx.connection, wish.model, at)
    open_ = now.active or now.pending
    if open_ is None or (wish.version is not None and wish.version != open_.to_version):
        which = f" of version {wish.version}" if wish.version is not None else ""
        raise NothingToAbort(f"no rollout{which} of {wish.model} is under way")
    store.ask_abort(tx.connection, open_.id, f"aborted by {wish.requested_by}: {wish.reason or 'no reason given'}")
    return open_


def _roll_back(tx: Transaction, wish: Wish, at: datetime) -> Rollout:
    """Back to what served before.

    While a rollout is under way that is its stable version: the rollout is aborted, unless a version is named that is
    neither. A roll-back under way is itself the answer.
    """
    now = store.snapshot(tx.connection, wish.model, at)
    serving = now.route.champion if now.route else None
    version = wish.version
    if now.active is not None:
        if now.active.kind is Kind.ROLL_BACK and version in (None, now.active.to_version):
            return now.active
        store.ask_abort(tx.connection, now.active.id, f"rolled back by {wish.requested_by}: {wish.reason}")
        if version is None or version == serving:
            return now.active
    version = version if version is not None else (now.route.previous if now.route else None)
    if version is None or now.route is None:
        raise NothingToRollBack(f"no version of {wish.model} served before; name one with `version`")
    if version == serving:
        raise NothingToRollBack(f"version {version} of {wish.model} serves already")
    for waiting in now.waiting:
        if waiting.kind is Kind.ROLL_BACK and waiting.to_version == version:
            return waiting
        _supersede(tx, waiting, "a roll-back was asked for before its turn came", at)
    return _add(tx, wish, version, Kind.ROLL_BACK, at)


def _supersede(tx: Transaction, waiting: Rollout, reason: str, at: datetime) -> None:
    store.ask_abort(tx.connection, waiting.id, reason)
    store.end_pending(tx, waiting.id, at)


def _add(tx: Transaction, wish: Wish, version: int, kind: Kind, at: datetime) -> Rollout:
    new = Rollout(
        id=wish.id,
        model=wish.model,
        kind=kind,
        to_version=version,
        correlation_id=wish.correlation_id,
        requested_by=wish.requested_by,
        created_at=at,
        changed_at=at,
        cause_id=wish.cause_id,
        asked_strategy=RolloutStrategy.FULL if kind is Kind.ROLL_BACK else wish.strategy,
        asked_reason=wish.reason,
        route=wish.model,
        reason=wish.reason,
    )
    store.add_rollout(tx.connection, new)
    return new


def on_model_changed(tx: Transaction, event: ResourceChanged, at: datetime) -> None:
    """An approved version gets its rollout; one that is withdrawn while it is rolled out loses it."""
    if event.change is not ResourceChange.VERSION_MOVED or event.version is None:
        return
    if event.stage is VersionStage.APPROVED:
        _on_approved(tx, event, event.version, at)
    elif event.stage in WITHDRAWN:
        now = store.snapshot(tx.connection, event.model, at)
        for rollout in (now.active, *now.waiting):
            if rollout and rollout.to_version == event.version and rollout.kind is Kind.START:
                store.ask_abort(tx.connection, rollout.id, f"{event.stage} in the registry by {event.actor}")


def _on_approved(tx: Transaction, event: ResourceChanged, version: int, at: datetime) -> None:
    """Only a version that is newer than all that this model ever rolled out.

    A version that another one replaced, or that a roll-back took away, becomes `approved` again; it must not come back
    by itself.
    """
    if event.previous_stage is VersionStage.LIVE:
        return
    if version <= store.newest_started(tx.connection, event.model):
        return
    wish = Wish(
        id=derived_id("rollout-of", event.event_id),
        model=event.model,
        action=RolloutAction.START,
        correlation_id=event.correlation_id,
        requested_by="registry",
        version=version,
        reason=event.reason or f"version {version} was approved",
        cause_id=event.event_id,
    )
    fulfil(tx, wish, at)


def on_rollout_requested(tx: Transaction, event: RolloutRequested, at: datetime) -> None:
    """A wish that came by the topic; one that cannot be had raises, and becomes a dead letter with its reason."""
    wish = Wish(
        id=derived_id("rollout-of", event.event_id),
        model=event.model,
        action=event.action,
        correlation_id=event.correlation_id,
        requested_by=event.requested_by,
        version=event.version,
        strategy=event.strategy,
        reason=event.reason,
        cause_id=event.event_id,
    )
    fulfil(tx, wish, at)


def on_alert(tx: Transaction, event: AlertRaised, at: datetime) -> None:
    """A critical alert on the version that is being rolled out ends its rollout; on any other it is not ours."""
    active = store.snapshot(tx.connection, event.model, at).active
    if event.severity is not Severity.CRITICAL or active is None or active.kind is not Kind.START:
        return
    if event.model_version != active.to_version or active.state is RolloutState.PREPARING:
        return
    if event.occurred_at < active.created_at:
        return
    said = f"critical alert {event.alert} on {event.subject}: {event.reason}"
    store.ask_abort(tx.connection, active.id, said, against=True)


def on_route_applied(tx: Transaction, event: RouteApplied, at: datetime) -> None:
    """A router answers by a table, or refuses it."""
    store.add_ack(tx.connection, event, at)
