"""Waiting for runs, verdicts and rollouts; the exit code of a command reports how they ended."""

import time
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Final, TypeVar

from modelyard import EvaluationRun, RolloutRun, TrainingRun
from modelyard_cli.context import Platform
from modelyard_cli.stack.layout import StackError

TIMEOUT_S: Final = 600.0
POLL_S: Final = 0.5
Report = Callable[[str], None]
T = TypeVar("T")


class Exit(IntEnum):
    """Exit codes of `train`, `deploy` and `evaluate`; 1 and 2 are errors of a service and of the command line."""

    DONE = 0
    """Promoted, serving as a canary, or waiting for an approval."""
    RUN_FAILED = 3
    """The training run failed, or was refused or cancelled."""
    NOT_ACCEPTED = 4
    """The verdict is not `deploy`."""
    ROLLOUT_FAILED = 5
    """The rollout failed, was aborted, or was rolled back."""
    NOT_KNOWN = 6
    """The outcome was not known in time."""


class TimedOut(StackError):
    """The outcome was not known in time; it may still come."""

    exit_code = Exit.NOT_KNOWN


class Outcome:
    """The last line of a command and its exit code."""

    def __init__(self, text: str, code: Exit = Exit.DONE) -> None:
        self.text, self.code = text, code


def await_run(platform: Platform, run_id: str, report: Report) -> TrainingRun:
    """The run, once it has ended."""

    def look() -> TrainingRun | None:
        run = platform.trainer.run(run_id)
        report(f"run: {run.state} {run.progress:.0%}")
        return run if run.ended else None

    return wait_for(look, f"run {run_id} is not finished; see `modelyard runs`")


def await_verdict(platform: Platform, evaluation_id: str, report: Report) -> EvaluationRun:
    """The evaluation, once it has a verdict or waits for further labels."""

    def look() -> EvaluationRun | None:
        evaluation = platform.evaluator.evaluation(evaluation_id)
        report(f"evaluation: {evaluation.stage}")
        return evaluation if evaluation.verdict or evaluation.open else None

    return wait_for(look, f"evaluation {evaluation_id} has no verdict yet")


def await_rollout(platform: Platform, rollout: RolloutRun, report: Report) -> Outcome:
    """The outcome of a rollout; a canary that waits for traffic counts as one."""

    def look() -> Outcome | None:
        found = platform.deployer.rollout(rollout.rollout_id)
        report(f"rollout: {found.state} {found.weight_percent:.0f}%")
        return rollout_outcome(found)

    return wait_for(look, f"rollout {rollout.rollout_id} is not finished; see `modelyard rollouts {rollout.model}`")


def await_release(platform: Platform, model: str, version: int, report: Report) -> Outcome:
    """The outcome of a registered version: its verdict, then its rollout."""

    def look() -> Outcome | None:
        rollout = next((it for it in platform.deployer.rollouts(model) if it.to_version == version), None)
        if rollout is not None:
            report(f"rollout: {rollout.state} {rollout.weight_percent:.0f}%")
            return rollout_outcome(rollout)
        evaluations: Iterable[EvaluationRun] = platform.evaluator.evaluations(model)
        evaluation = next((it for it in evaluations if it.challenger_version == version), None)
        report(f"evaluation: {evaluation.stage if evaluation else 'not started'}")
        return None if evaluation is None else _verdict_outcome(platform, evaluation)

    return wait_for(look, f"version {version} has no verdict yet; see `modelyard history {model}`")


def rollout_outcome(rollout: RolloutRun) -> Outcome | None:
    """None while it is under way."""
    version = rollout.to_version
    state = rollout.state.replace("_", " ") if rollout.superseded_by is None else "superseded"
    if rollout.ended:
        code = Exit.DONE if rollout.state == "promoted" else Exit.ROLLOUT_FAILED
        return Outcome(f"version {version} {state}: {rollout.reason}", code)
    if rollout.strategy == "canary" and rollout.state in ("shifting", "holding") and rollout.weight_percent:
        share = f"{rollout.weight_percent:.0f} % of the traffic"
        return Outcome(f"version {version} serves {share} as a canary; see `modelyard rollouts {rollout.model}`")
    return None


def verdict_outcome(evaluation: EvaluationRun) -> Outcome:
    """The outcome of an evaluation that has a verdict or waits for further labels."""
    if evaluation.open:
        command = f"modelyard evaluations {evaluation.model}"
        return Outcome(f"no verdict yet: {evaluation.note} See `{command}`", Exit.NOT_KNOWN)
    verdict = str(evaluation.verdict).replace("_", " ")
    code = Exit.DONE if evaluation.verdict == "deploy" else Exit.NOT_ACCEPTED
    return Outcome(f"{verdict}: {' '.join(evaluation.reasons)}", code)


def _verdict_outcome(platform: Platform, evaluation: EvaluationRun) -> Outcome | None:
    if evaluation.verdict is None and not evaluation.open:
        return None
    if evaluation.verdict != "deploy":
        return verdict_outcome(evaluation)
    if platform.registry.policy(evaluation.model, "gate").approval == "manual":
        version, model = evaluation.challenger_version, evaluation.model
        return Outcome(f"version {version} waits for an approval: modelyard approve {model} {version}")
    return None


def wait_for(look: Callable[[], T | None], late: str) -> T:
    """The first value that `look` returns; TimedOut after TIMEOUT_S."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(POLL_S)
    raise TimedOut(f"after {TIMEOUT_S:.0f} s: {late}")
