"""Requests to start, abort and roll back."""

from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from modelyard_contracts import RolloutAction, RolloutState, RolloutStrategy, VersionStage
from modelyard_deployer.domain.actions import StepAction, acted
from modelyard_deployer.domain.errors import NothingToAbort, NothingToRollBack, StaleRollout
from modelyard_deployer.domain.live_share import lifted
from modelyard_deployer.domain.ports import Deps, Records
from modelyard_deployer.domain.rollouts import Kind, Rollout, RolloutRequest
from modelyard_deployer.domain.snapshot import Snapshot
from modelyard_deployer.domain.workloads import VersionKey
from modelyard_deployer.usecases.snapshot import read_snapshot
from modelyard_runtime.errors import Invalid, NotFound

MAX_ATTEMPTS: Final = 5
"""Attempts of a request that the reconciler interferes with."""
WITHDRAWN: Final = frozenset({VersionStage.REJECTED, VersionStage.RETIRED})


def request_rollout(deps: Deps, request: RolloutRequest) -> Rollout:
    """Record a request in a transaction of its own and wake the reconciler; errors as in `record_request`."""
    with deps.store.write() as records:
        rollout = record_request(records, request, deps.clock())
    deps.notify(request.model)
    return rollout


def record_request(records: Records, request: RolloutRequest, at: datetime) -> Rollout:
    """Return the rollout that the request starts or aborts.

    Raises Invalid, NothingToRollBack or NothingToAbort for a request that cannot be fulfilled.
    """
    known = records.rollouts.get(request.id)
    if known is not None:
        return known
    if request.action is RolloutAction.START:
        return _start(records, request, at)
    if request.action is RolloutAction.ABORT:
        return _abort(records, request, at)
    return _roll_back(records, request, at)


def act_on_step(deps: Deps, rollout_id: UUID, action: StepAction, step: int, by: str, reason: str) -> Rollout:
    """Record what a person wants of an open step and wake the reconciler.

    Raises NotFound, and NoOpenStep or StepPassed as `acted` does.
    """
    for attempt in range(MAX_ATTEMPTS):
        try:
            with deps.store.write() as records:
                rollout = records.rollouts.get(rollout_id)
                if rollout is None:
                    raise NotFound(f"no rollout {rollout_id}")
                changed = acted(rollout, action, step, by, reason, deps.clock())
                saved = rollout if changed == rollout else records.rollouts.save(rollout, changed)
            break
        except StaleRollout:  # the reconciler wrote it in between
            if attempt == MAX_ATTEMPTS - 1:
                raise
    deps.notify(saved.model)
    return saved


def _start(records: Records, request: RolloutRequest, at: datetime) -> Rollout:
    """Queue a rollout. The newest pending request supersedes older ones, unless all of them will join a vote; an
    active rollout continues.

    A version that is being rolled out needs no second rollout: the active one is returned.
    """
    if request.version is None:
        raise Invalid("version: required to start a rollout; name the version to roll out", field="version")
    snapshot = read_snapshot(records, request.model, at)
    if (known := _same_version(snapshot, request.version)) is not None:
        return _without_hold(records, known, request, at)
    if request.evaluation_id is None:
        _make_way(records, snapshot, request, at)
    return _add(records, request, request.version, Kind.START, at)


def _same_version(snapshot: Snapshot, version: int) -> Rollout | None:
    """The open rollout of a version."""
    if snapshot.active and _rolls_out(snapshot.active, version):
        return snapshot.active
    return next((one for one in snapshot.waiting if one.kind is Kind.START and one.to_version == version), None)


def _without_hold(records: Records, rollout: Rollout, request: RolloutRequest, at: datetime) -> Rollout:
    """A live share becomes the canary of its version when a rollout of that version, now approved, is requested."""
    if not rollout.live_share or request.evaluation_id is not None:
        return rollout
    return records.rollouts.save(rollout, lifted(rollout, request.strategy, request.reason, at))


def _make_way(records: Records, snapshot: Snapshot, request: RolloutRequest, at: datetime) -> None:
    """End what an approved version does not wait for: older requests that are pending, and a live share."""
    for waiting in snapshot.waiting:
        if waiting.kind is Kind.START and not (_will_vote(snapshot, waiting) and request.strategy is None):
            _supersede(records, waiting, f"superseded by a request for version {request.version}", at)
    if snapshot.active and snapshot.active.live_share:
        records.rollouts.request_abort(snapshot.active.id, f"makes way for the rollout of version {request.version}")


def _will_vote(snapshot: Snapshot, waiting: Rollout) -> bool:
    adaptive = snapshot.serving is not None and snapshot.serving.policy.strategy == "adaptive"
    return adaptive and waiting.asked_strategy is None


def _rolls_out(active: Rollout, version: int) -> bool:
    return active.kind is Kind.START and active.to_version == version and active.abort_reason is None


def _abort(records: Records, request: RolloutRequest, at: datetime) -> Rollout:
    snapshot = read_snapshot(records, request.model, at)
    current = snapshot.active or snapshot.pending
    if current is None or (request.version is not None and request.version != current.to_version):
        which = f" of version {request.version}" if request.version is not None else ""
        raise NothingToAbort(f"no rollout{which} of {request.model} is in progress")
    why = f"aborted by {request.requested_by}: {request.reason or 'no reason given'}"
    records.rollouts.request_abort(current.id, why)
    return current


def _roll_back(records: Records, request: RolloutRequest, at: datetime) -> Rollout:
    """Roll back to a version that served before, by default the newest that has not been withdrawn.

    During a rollout the default is its stable version: the rollout is aborted, and nothing else happens unless the
    request names another version. A roll-back already in progress is returned unchanged.
    """
    snapshot = read_snapshot(records, request.model, at)
    active, champion = snapshot.active, snapshot.serving.champion if snapshot.serving else None
    version = request.version
    if active is not None and active.kind is Kind.ROLL_BACK and version in (None, active.to_version):
        return active
    if active is not None and version in (None, champion):
        return _abort_for(records, active, request)
    version = _roll_back_target(records, snapshot, request)
    if active is not None:
        _abort_for(records, active, request)
    for waiting in snapshot.waiting:
        if waiting.kind is Kind.ROLL_BACK and waiting.to_version == version:
            return waiting
        _supersede(records, waiting, "superseded by a roll-back", at)
    return _add(records, request, version, Kind.ROLL_BACK, at)


def _abort_for(records: Records, active: Rollout, request: RolloutRequest) -> Rollout:
    records.rollouts.request_abort(active.id, f"rolled back by {request.requested_by}: {request.reason}")
    return active


def _roll_back_target(records: Records, snapshot: Snapshot, request: RolloutRequest) -> int:
    """Return a version of the history. Raises NothingToRollBack when the requested version is not eligible."""
    history = snapshot.serving.history if snapshot.serving else ()
    stages = {number: _stage(records, request.model, number) for number in history}
    if request.version is None:
        usable = [number for number in history if stages[number] not in WITHDRAWN]
        if not usable:
            raise NothingToRollBack(f"{request.model} has no earlier version that may serve")
        return usable[-1]
    if snapshot.serving and request.version == snapshot.serving.champion:
        raise NothingToRollBack(f"version {request.version} of {request.model} is already serving", field="version")
    if request.version not in stages:
        raise NothingToRollBack(
            f"version {request.version} of {request.model} has not served before; start a rollout of it instead",
            field="version",
        )
    if stages[request.version] in WITHDRAWN:
        raise NothingToRollBack(
            f"version {request.version} of {request.model} is {stages[request.version]}; approve it again first",
            field="version",
        )
    return request.version


def _stage(records: Records, model: str, number: int) -> str:
    version = records.versions.get(VersionKey(model, number))
    return version.stage if version else ""


def _supersede(records: Records, waiting: Rollout, reason: str, at: datetime) -> None:
    """End a pending rollout. No event was published for it, so none is published now."""
    ended = replace(waiting, state=RolloutState.ABORTED, reason=reason, abort_reason=reason, changed_at=at)
    records.rollouts.request_abort(waiting.id, reason)
    current = records.rollouts.get(waiting.id)
    if current is not None:
        records.rollouts.save(current, replace(ended, abort_reason=current.abort_reason))


def _add(records: Records, request: RolloutRequest, version: int, kind: Kind, at: datetime) -> Rollout:
    new = Rollout(
        id=request.id,
        model=request.model,
        kind=kind,
        to_version=version,
        correlation_id=request.correlation_id,
        requested_by=request.requested_by,
        created_at=at,
        changed_at=at,
        cause_id=request.cause_id,
        asked_strategy=RolloutStrategy.FULL if kind is Kind.ROLL_BACK else request.strategy,
        evaluation_id=request.evaluation_id,
        asked_reason=request.reason,
        route=request.model,
        reason=request.reason,
    )
    records.rollouts.add(new)
    return new
