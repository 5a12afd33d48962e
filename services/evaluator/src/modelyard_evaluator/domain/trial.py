"""The trial of a version that was made elsewhere: it answers its example before anything else is asked of it."""

from dataclasses import dataclass
from enum import StrEnum

from modelyard_contracts import Verdict
from modelyard_contracts.manifest import ModelManifest
from modelyard_evaluator.domain.verdict import Judgement


class TrialOutcome(StrEnum):
    """Result of running a version on its example."""

    ANSWERED = "answered"
    FAILED = "failed"
    """It cannot be loaded, raised an error, crashed, or gave answers that cannot be used."""
    OVER_LIMIT = "over_limit"
    """It needed more time, memory or disk than allowed."""
    NOT_RUN = "not_run"
    """This machine cannot run it: no evidence about the version."""


@dataclass(frozen=True)
class Trial:
    """Observations of a version in a confined process."""

    outcome: TrialOutcome
    reason: str = ""
    """Empty if it answered."""
    rows: int = 0
    """Rows of the example that it answered."""
    load_s: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    """Latency of single rows."""
    memory_mib: float | None = None
    """Peak resident memory of the process."""
    answers_equal: bool | None = None
    """Whether the answers equal the recorded ones; None if the example has none."""
    first_difference: str = ""
    confined_by: tuple[str, ...] = ()
    """Restrictions of the process, such as `seccomp`."""


def needs_trial(manifest: ModelManifest) -> bool:
    """Whether a version is tried: no training run of this platform made it, and it has an example."""
    return manifest.example is not None and manifest.training.run_id is None


def judge_trial(trial: Trial) -> Judgement:
    """Deploy if the version answered, and as recorded; inconclusive if it could not be run here."""
    if trial.outcome is TrialOutcome.NOT_RUN:
        return Judgement(Verdict.INCONCLUSIVE, (f"The version cannot be tried here: {trial.reason}.",))
    if trial.outcome is TrialOutcome.OVER_LIMIT:
        return Judgement(Verdict.REJECT, (f"The version exceeded a limit of its trial: {trial.reason}.",))
    if trial.outcome is TrialOutcome.FAILED:
        return Judgement(Verdict.REJECT, (f"The version failed its trial: {trial.reason}.",))
    if trial.answers_equal is False:
        reason = f"The version answers its example differently from its recorded answers: {trial.first_difference}."
        return Judgement(Verdict.REJECT, (reason, *figures(trial)))
    return Judgement(Verdict.DEPLOY, figures(trial))


def figures(trial: Trial) -> tuple[str, ...]:
    """Rows, latency and memory of a version that answered, in a sentence; nothing for any other."""
    if trial.outcome is not TrialOutcome.ANSWERED:
        return ()
    equal = "; all answers equal the recorded ones" if trial.answers_equal else ""
    latency = "" if trial.p50_ms is None else f" in {trial.p50_ms:.2f} ms (p50) and {trial.p95_ms or 0:.2f} ms (p95)"
    memory = "" if trial.memory_mib is None else f" with at most {trial.memory_mib:.0f} MiB"
    rows = f"its {trial.rows} example rows" if trial.rows else "no row: its example has none"
    return (f"In a trial the version answered {rows}, one at a time{latency}{memory}{equal}.",)
