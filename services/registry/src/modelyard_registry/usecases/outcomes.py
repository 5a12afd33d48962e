"""Outcomes of evaluations and training runs. Every function is safe to repeat."""

from dataclasses import replace
from typing import Final

from modelyard_contracts import EvaluationFinished, TrainingRunChanged, Verdict
from modelyard_registry.domain.errors import EvidenceMismatch
from modelyard_registry.domain.names import model_key
from modelyard_registry.domain.ports import Deps, Unit
from modelyard_registry.domain.stages import Signal, can_move
from modelyard_registry.domain.values import Origin, Resource, Version
from modelyard_registry.usecases.admission import unsafe
from modelyard_registry.usecases.cards import EVALUATED, approve
from modelyard_registry.usecases.history import move, note_event
from modelyard_registry.usecases.policies import GATE, gate_of
from modelyard_registry.usecases.training_runs import record_run

SIGNALS: Final = {
    Verdict.DEPLOY: Signal.PASSED,
    Verdict.REJECT: Signal.FAILED,
    Verdict.CONTINUE_TUNING: Signal.FAILED,
}
"""`inconclusive` is absent: without evidence nothing moves."""


def record_evaluation(deps: Deps, event: EvaluationFinished) -> None:
    """Move a version that waits for a verdict; the gate policy may approve it at once."""
    with deps.storage.transaction() as unit:
        if not unit.claim(event.event_id):
            return
        resource = unit.resources.lock(model_key(event.model))
        version = unit.versions.get(resource, event.challenger_version)
        if version.digest != event.challenger_digest:
            raise EvidenceMismatch(event.model, version.version, version.digest, event.challenger_digest)
        reason = f"{event.verdict}: {' '.join(event.reasons)}"
        origin = Origin("evaluator", reason, deps.clock(), event.correlation_id, event.event_id)
        note_event(unit, resource, event, EVALUATED, origin, version=version.version)
        _follow_verdict(unit, resource, version, event.verdict, origin)


def _follow_verdict(unit: Unit, resource: Resource, version: Version, verdict: Verdict, origin: Origin) -> None:
    signal = SIGNALS.get(verdict)
    if signal is None or not can_move(version.stage, signal):
        return
    moved = move(unit, resource, version, signal, origin)
    if signal is Signal.PASSED:
        _open_gate(unit, resource, version, replace(origin, cause_id=moved))


def _open_gate(unit: Unit, resource: Resource, version: Version, origin: Origin) -> None:
    """Approve at once when the gate policy is automatic and the last scan permits; otherwise a person decides."""
    revision, gate = gate_of(unit, resource)
    if gate.approval != "automatic" or unsafe(unit, resource, version) is not None:
        return
    reason = f"gate policy revision {revision}: automatic approval"
    evaluated = unit.versions.get(resource, version.version)
    approve(unit, resource, evaluated, replace(origin, actor=GATE, reason=reason))


def record_training(deps: Deps, event: TrainingRunChanged) -> None:
    """Record a run in the history of its model, and among the runs of its experiment."""
    with deps.storage.transaction() as unit:
        if unit.claim(event.event_id):
            resource = unit.resources.lock(model_key(event.model))
            origin = Origin("trainer", event.reason, deps.clock(), event.correlation_id, event.event_id)
            note_event(unit, resource, event, "training_run_changed", origin, version=event.version)
            record_run(deps, unit, resource.key, event)
