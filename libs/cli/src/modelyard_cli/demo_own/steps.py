"""Steps of the demo: register a case, send rows to it, refuse a bad file, roll back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from modelyard import ApiError, RegistryClient
from modelyard_cli.context import Platform
from modelyard_cli.demo_own.cases import BAD_FILE, CASES, SECOND_RULES, Case
from modelyard_cli.demo_own.traffic import drift_detected, repeated, send, shifted, stored
from modelyard_cli.outcomes import Exit, await_release, wait_for
from modelyard_cli.stack.layout import StackError
from modelyard_contracts.manifest import ModelManifest, TrainingLineage, signed
from modelyard_contracts.policies import GatePolicy, RolloutPolicy
from modelyard_contracts.signature import Column, Output, Signature, Task
from modelyard_flavours.files import entry_of
from modelyard_own import Description, Plan, Request, plan_of, register_plan

Say = Callable[[str], None]
UPLOAD_TIMEOUT_S: Final = 120.0
ROWS: Final = 300
"""Rows sent to each model."""
SHIFTED_ROWS: Final = 1_500
"""Three windows of the monitor: drift needs two in a row."""
RULES: Final = CASES[-1]
BAD_MODEL: Final = "own-bad"


def planned(case: Case, folder: Path) -> Plan:
    """The plan of a case, as `modelyard register` makes it."""
    stated = Description.model_validate({"sample": str(folder / case.name / case.sample), **case.stated})
    code, reason = bool(case.code_reason), case.code_reason
    return plan_of(Request(case.path(folder), stated, code=code, reason=reason))


def registered(platform: Platform, case: Case, plan: Plan, say: Say) -> int:
    """Register a version; returns its number."""
    with RegistryClient(platform.urls["registry"], platform.token, timeout_s=UPLOAD_TIMEOUT_S) as registry:
        registry.create_model(case.name)
        registry.set_policy(case.name, RolloutPolicy(strategy="full"))
        registry.set_policy(case.name, GatePolicy(max_open_s=0.0))
        done = register_plan(registry, plan, case.name, lambda _: None)
    say(f"{case.name}: version {done.info.version} is registered ({plan.flavour})")
    return done.info.version


def served(platform: Platform, case: Case, folder: Path, say: Say) -> dict[str, Any]:
    """Register a case, wait until it serves, send rows; returns its entry of the report."""
    plan = planned(case, folder)
    version = registered(platform, case, plan, say)
    outcome = await_release(platform, case.name, version, lambda _: None)
    evaluation = next(it for it in platform.evaluator.evaluations(case.name) if it.challenger_version == version)
    if outcome.code is not Exit.DONE:
        raise StackError(f"{case.name} does not serve: {outcome.text}")
    trial = evaluation.report.trial if evaluation.report else None
    entry = {
        "name": case.name,
        "flavour": plan.flavour,
        "task": str(plan.signature.task),
        "verdict": evaluation.verdict,
        "p50_ms": trial.p50_ms if trial else None,
        "p95_ms": trial.p95_ms if trial else None,
        "memory_mib": trial.memory_mib if trial else None,
        "answers_equal": trial.answers_equal if trial else None,
    }
    return {**entry, **_traffic(platform, case, plan, folder, version, say)}


def _traffic(platform: Platform, case: Case, plan: Plan, folder: Path, version: int, say: Say) -> dict[str, Any]:
    """Send the rows of the sample, then shifted ones if the case has them; count what was stored."""
    columns = [column.name for column in plan.signature.columns]
    rows = case.rows(folder, columns)
    given = repeated(rows, ROWS)
    if case.shifted:
        given += list(shifted(case, repeated(rows, SHIFTED_ROWS)))
    sent = send(platform, case, given, f"{case.name}-v{version}")
    digest = platform.registry.version(case.name, version).digest
    found = stored(platform, case, f"{case.name}-v{version}", digest, sent.rows)
    drifted = drift_detected(platform, case)
    say(f"{case.name}: {sent.rows} rows sent, {found['stored']} stored{', drift detected' if drifted else ''}")
    return {
        "predictions_sent": sent.rows,
        "predictions_stored": found["stored"],
        "drift_detected": drifted,
        "digest_in_answers": sent.digests == {digest} and found["of_digest"] == found["stored"],
    }


def refused(platform: Platform, folder: Path, say: Say) -> dict[str, Any]:
    """Upload the bad file past the checks of the command line; StackError unless the registry refuses it."""
    file = entry_of(folder, BAD_FILE)
    manifest = ModelManifest(
        model=BAD_MODEL,
        flavour="sklearn",
        files=(file,),
        **signed(Signature(columns=(Column(name="x"),), output=Output(task=Task.REGRESSION))),
        training=TrainingLineage(recipe="elsewhere"),
    )
    registry = platform.registry
    registry.create_model(BAD_MODEL)
    try:
        registry.register(manifest, {file.path: folder / file.path}, idempotency_key=file.digest)
    except ApiError as error:
        if error.code != "inadmissible":
            raise
        finding = error.body["findings"][0]["message"]
        say(f"{BAD_FILE}: refused, {finding}")
        return {"file": BAD_FILE, "finding": finding}
    raise StackError(f"{BAD_FILE}: the registry did not refuse it")


def rolled_back(platform: Platform, folder: Path, say: Say) -> float | None:
    """Approve a second version of the rules by hand, let it serve, then go back; returns the seconds of the return."""
    second = replace(RULES, model=SECOND_RULES, sample=f"{SECOND_RULES}/sample.csv")
    version = registered(platform, second, planned(second, folder), say)
    wait_for(lambda: _tried(platform, version), f"{RULES.name} version {version} was not tried")
    platform.registry.approve(RULES.name, version, reason="the new limit was agreed")
    wait_for(lambda: _promoted(platform, version), f"{RULES.name} version {version} does not serve")
    done = platform.deployer.roll_back(RULES.name, reason="shown by the demo", wait_s=30)
    say(f"{RULES.name}: rolled back from version {version} to {done.to_version} in {done.seconds or 0:.2f} s")
    return done.seconds


def _tried(platform: Platform, version: int) -> bool | None:
    """True once the trial of a version has ended; it waits for labels then, which the demo does not send."""
    found = platform.evaluator.evaluations(RULES.name)
    return any(it.challenger_version == version and it.stage not in ("pending", "trial") for it in found) or None


def _promoted(platform: Platform, version: int) -> bool | None:
    """True once a version serves; its first rollout starts by itself after the approval."""
    rollout = next((it for it in platform.deployer.rollouts(RULES.name) if it.to_version == version), None)
    if rollout is None or not rollout.ended:
        return None
    if rollout.state != "promoted":
        raise StackError(f"{RULES.name} version {version} does not serve: {rollout.reason}")
    return True
