"""Reactions to events of other services, each within the transaction that claims the event."""

import logging
from dataclasses import replace
from datetime import datetime
from typing import Final

from modelyard_contracts import (
    AlertRaised,
    EvaluationFinished,
    ResourceChange,
    ResourceChanged,
    RolloutAction,
    RolloutRequested,
    RolloutState,
    RouteApplied,
    Severity,
    Verdict,
    VersionStage,
    derived_id,
)
from modelyard_contracts.references import Kind as ResourceKind
from modelyard_deployer.domain.live_share import belongs_to
from modelyard_deployer.domain.ports import Records
from modelyard_deployer.domain.rollouts import Kind, RolloutRequest
from modelyard_deployer.domain.routes import Route
from modelyard_deployer.domain.workloads import VersionKey
from modelyard_deployer.usecases.requests import WITHDRAWN, record_request
from modelyard_deployer.usecases.snapshot import read_snapshot

log = logging.getLogger(__name__)
RECENT_ROLLOUTS: Final = 1_000
MAX_JUMP: Final = 1_000_000_000
"""How far a router may be ahead; routers refuse tables that are further ahead of the one in use."""


def on_model_changed(records: Records, event: ResourceChanged, at: datetime) -> None:
    """Start a rollout of an approved version; abort the rollout of a withdrawn one. Other kinds are ignored."""
    if event.kind == ResourceKind.MODEL and event.change is ResourceChange.POLICY_CHANGED:
        _on_policy_changed(records, event)
    if event.kind != ResourceKind.MODEL or event.change is not ResourceChange.VERSION_MOVED or event.version is None:
        return
    if event.stage is not None:
        records.versions.set_stage(VersionKey(event.model, event.version), event.stage)
    if event.stage is VersionStage.APPROVED:
        _on_approved(records, event, event.version, at)
    elif event.stage in WITHDRAWN:
        snapshot = read_snapshot(records, event.model, at)
        for rollout in (snapshot.active, *snapshot.waiting):
            if rollout and rollout.to_version == event.version and rollout.kind is Kind.START:
                records.rollouts.request_abort(rollout.id, f"{event.stage} in the registry by {event.actor}")


def _on_policy_changed(records: Records, event: ResourceChanged) -> None:
    """The members of a vote follow a new rollout policy without a rollout; it is read in the background."""
    serving = records.serving.get(event.model)
    if event.policy == "rollout" and serving is not None and not serving.policy_changed:
        records.serving.save(serving, replace(serving, policy_changed=True))


def _on_approved(records: Records, event: ResourceChanged, version: int, at: datetime) -> None:
    """Start only a version newer than every version of the model that was ever rolled out.

    A replaced or rolled-back version becomes `approved` again; it must not be rolled out again automatically. Of an
    adaptive model an older version joins as well, if it was never rolled out: several may be evaluated at a time.
    """
    if event.previous_stage is VersionStage.LIVE:
        return
    if version <= records.rollouts.newest_started(event.model) and not _may_still_join(records, event.model, version):
        return
    request = RolloutRequest(
        id=derived_id("rollout-of", event.event_id),
        model=event.model,
        action=RolloutAction.START,
        correlation_id=event.correlation_id,
        requested_by="registry",
        version=version,
        reason=event.reason or f"version {version} was approved",
        cause_id=event.event_id,
    )
    record_request(records, request, at)


def _may_still_join(records: Records, model: str, version: int) -> bool:
    serving = records.serving.get(model)
    if serving is None or serving.policy.strategy != "adaptive":
        return False
    return all(rollout.to_version != version for rollout in records.rollouts.recent(model, limit=RECENT_ROLLOUTS))


def on_rollout_requested(records: Records, event: RolloutRequested, at: datetime) -> None:
    """Record the request. A request that cannot be fulfilled raises and is dead-lettered with the reason."""
    request = RolloutRequest(
        id=derived_id("rollout-of", event.event_id),
        model=event.model,
        action=event.action,
        correlation_id=event.correlation_id,
        requested_by=event.requested_by,
        version=event.version,
        strategy=event.strategy,
        reason=event.reason,
        cause_id=event.event_id,
        evaluation_id=event.evaluation_id,
    )
    record_request(records, request, at)


def on_evaluation_finished(records: Records, event: EvaluationFinished, _: datetime) -> None:
    """Record the comparisons with versions on their way to serve; a verdict other than `deploy` ends a live share.

    The verdict itself is for the registry: its approval lets the canary go on.
    """
    records.comparisons.add(event)
    if event.verdict is Verdict.DEPLOY:
        return
    for rollout in records.rollouts.open(event.model):
        if belongs_to(rollout, event.evaluation_id):
            records.rollouts.request_abort(rollout.id, f"its comparison ended: {event.verdict}")


def on_alert(records: Records, event: AlertRaised, at: datetime) -> None:
    """A critical alert on the version being rolled out aborts its rollout; other alerts are ignored."""
    active = read_snapshot(records, event.model, at).active
    if event.severity is not Severity.CRITICAL or active is None or active.kind is not Kind.START:
        return
    if event.model_version != active.to_version or active.state is RolloutState.PREPARING:
        return
    if event.occurred_at < active.created_at:
        return
    reason = f"critical alert {event.alert} on {event.subject}: {event.reason}"
    records.rollouts.request_abort(active.id, reason, against=True)


def on_route_applied(records: Records, event: RouteApplied, at: datetime) -> None:
    """Record that a router applied or refused a table. One that was never published is replaced, if it is in use."""
    route = records.routes.get(event.route)
    if route is None or event.sequence > route.sequence:
        log.warning(
            "router %s acknowledged table %d of route %s, which was never published",
            event.router_id,
            event.sequence,
            event.route,
        )
        if route is not None and event.accepted:
            _overtake(records, route, event.sequence, at)
        return
    records.acknowledgements.add(event, at)


def _overtake(records: Records, route: Route, sequence: int, at: datetime) -> None:
    """Publish the newest table again after `sequence`: routers would ignore all tables up to it as late ones.

    Another writer published that table, or the database of this service was restored from an earlier backup.
    """
    newest = records.routes.published(route.name)
    if newest is None or sequence > route.sequence + MAX_JUMP:
        return
    raised = replace(route, sequence=sequence + 1)
    again = {
        "event_id": derived_id("route", route.name, raised.sequence),
        "occurred_at": at,
        "sequence": raised.sequence,
        "reason": f"a router uses table {sequence}, which was never published",
    }
    records.routes.save(route, raised)
    records.routes.publish(newest.model_copy(update=again))
