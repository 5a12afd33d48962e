"""What other services found, and what it does to a version. Every function is safe to repeat."""

from dataclasses import replace
from typing import Final
from uuid import UUID

from modelyard_contracts import (
    EvaluationFinished,
    RolloutChanged,
    RolloutState,
    RolloutStrategy,
    TrainingRunChanged,
    Verdict,
    VersionStage,
)
from modelyard_contracts.policies import GatePolicy
from modelyard_registry.domain.errors import EvidenceMismatch
from modelyard_registry.domain.names import CHALLENGER, CHAMPION
from modelyard_registry.domain.ports import Deps, Unit
from modelyard_registry.domain.stages import Signal, can_move
from modelyard_registry.domain.values import RolloutSeen, Story, Version
from modelyard_registry.usecases.aliases import point
from modelyard_registry.usecases.ledger import move, note
from modelyard_registry.usecases.models import policy_of

SIGNALS: Final = {
    Verdict.DEPLOY: Signal.PASSED,
    Verdict.REJECT: Signal.FAILED,
    Verdict.CONTINUE_TUNING: Signal.FAILED,
}
"""Inconclusive is not here: no evidence moves nothing."""
GATE: Final = "gate"
SETTLING: Final = (RolloutState.PROMOTED, RolloutState.ROLLED_BACK)
"""States after which another version serves."""


def record_evaluation(deps: Deps, event: EvaluationFinished) -> None:
    """The verdict moves a version that still waits for one; the gate policy may approve it at once."""
    with deps.storage.transaction() as unit:
        if not unit.claim(event.event_id):
            return
        unit.records.lock_model(event.model)
        version = unit.records.version(event.model, event.challenger_version)
        if version.digest != event.challenger_digest:
            raise EvidenceMismatch(event.model, version.version, version.digest, event.challenger_digest)
        reason = f"{event.verdict}: {' '.join(event.reasons)}"
        story = Story("evaluator", reason, deps.clock(), event.correlation_id, event.event_id)
        note(unit, event, "evaluation_finished", story, version=version.version)
        signal = SIGNALS.get(event.verdict)
        if signal is None or not can_move(version.stage, signal):
            return
        moved = move(unit, version, signal, story)
        if signal is Signal.PASSED:
            _open_gate(unit, version, replace(story, cause_id=moved))


def _open_gate(unit: Unit, version: Version, story: Story) -> None:
    """Approve at once where the gate policy is automatic; otherwise a person does."""
    policy = policy_of(unit.records, version.model, GATE)
    if GatePolicy.model_validate(policy.document).approval != "automatic":
        return
    reason = f"gate policy revision {policy.revision}: automatic approval"
    evaluated = unit.records.version(version.model, version.version)
    move(unit, evaluated, Signal.APPROVED, replace(story, actor=GATE, reason=reason))


def record_training(deps: Deps, event: TrainingRunChanged) -> None:
    """Into the history and nothing else."""
    with deps.storage.transaction() as unit:
        if unit.claim(event.event_id):
            unit.records.lock_model(event.model)
            story = Story("trainer", event.reason, deps.clock(), event.correlation_id, event.event_id)
            note(unit, event, "training_run_changed", story, version=event.version)


def record_rollout(deps: Deps, event: RolloutChanged) -> None:
    """Stages and aliases follow the traffic; news of a rollout that is older than what is known only goes on record."""
    with deps.storage.transaction() as unit:
        if not unit.claim(event.event_id):
            return
        unit.records.lock_model(event.model)
        to = unit.records.version(event.model, event.to_version)
        story = Story("deployer", event.reason, deps.clock(), event.correlation_id, event.event_id)
        note(unit, event, "rollout_changed", story, version=to.version)
        if _is_news(unit, event):
            _follow(unit, event, to, story)


def _is_news(unit: Unit, event: RolloutChanged) -> bool:
    """Whether nothing newer is known of this rollout; remembers the event if so."""
    seen = unit.records.rollout(event.rollout_id)
    if seen is not None and seen.revision >= event.revision:
        return False
    unit.records.save_rollout(
        RolloutSeen(event.rollout_id, event.model, event.revision, event.state, event.occurred_at)
    )
    return True


def _follow(unit: Unit, event: RolloutChanged, to: Version, story: Story) -> None:
    if event.state in (RolloutState.ABORTED, RolloutState.FAILED):
        _drop_challenger(unit, event.model, story, only=to)
        if to.stage is not VersionStage.LIVE and not _keeps_its_approval(unit, event, to):
            _move_if_legal(unit, to, Signal.ROLLED_BACK, story)
    elif not _traffic_moved_since(unit, event):
        if event.state in SETTLING:
            _settle(unit, event, to, story)
        elif event.state is RolloutState.SHIFTING and event.strategy is RolloutStrategy.CANARY and event.from_version:
            _point(unit, event.model, CHALLENGER, to, story)


def _keeps_its_approval(unit: Unit, event: RolloutChanged, to: Version) -> bool:
    """A version that served before, whose return did not come up or ended by anything but evidence against it.

    One that never served is rejected by every such end: nothing but its evaluation spoke for it.
    """
    blameless = event.state is RolloutState.FAILED or not event.speaks_against_version
    return blameless and unit.records.has_been(to.model, to.version, VersionStage.LIVE)


def _traffic_moved_since(unit: Unit, event: RolloutChanged) -> bool:
    """Whether another rollout settled after this event: then it says nothing about who serves now."""
    settled = unit.records.last_settled(event.model, event.rollout_id)
    return settled is not None and event.occurred_at < settled


def _settle(unit: Unit, event: RolloutChanged, to: Version, story: Story) -> None:
    """`to` serves now: whatever was live makes room, the champion moves, the challenger is no more."""
    left = Signal.ROLLED_BACK if event.state is RolloutState.ROLLED_BACK else Signal.REPLACED
    for version in unit.records.versions_at(event.model, VersionStage.LIVE):
        if version.version != to.version:
            _move_if_legal(unit, version, left, story)
    _move_if_legal(unit, to, Signal.PROMOTED, story)
    _point(unit, event.model, CHAMPION, to, story)
    _drop_challenger(unit, event.model, story)


def _move_if_legal(unit: Unit, version: Version, signal: Signal, story: Story) -> UUID | None:
    """Traffic is a fact: where the table has no such move the stage stays and the note tells why."""
    return move(unit, version, signal, story) if can_move(version.stage, signal) else None


def _point(unit: Unit, model: str, alias: str, version: Version, story: Story) -> None:
    current = unit.records.alias(model, alias)
    if current is None or current.version != version.version:
        point(unit, model, alias, version, story)


def _drop_challenger(unit: Unit, model: str, story: Story, *, only: Version | None = None) -> None:
    current = unit.records.alias(model, CHALLENGER)
    if current is None or current.version is None:
        return
    if only is None or current.version == only.version:
        point(unit, model, CHALLENGER, None, story)
