"""Trials of versions, each in a confined process of the model server's package."""

from pathlib import Path

from modelyard_evaluator.domain.errors import Unreachable
from modelyard_evaluator.domain.trial import Trial, TrialOutcome
from modelyard_serving.trial import TrialLimits, run_trial


class TrialFailed(Unreachable):
    """This machine could not start a process; another attempt may succeed."""

    code = "trial_failed"


class ConfinedTrials:
    """Implements domain.ports.Trials."""

    def __init__(self, limits: TrialLimits) -> None:
        self._limits = limits

    def run(self, folder: Path) -> Trial:
        try:
            report = run_trial(folder, self._limits)
        except OSError as error:
            raise TrialFailed(f"the trial could not start: {error.strerror}") from error
        return Trial(
            outcome=TrialOutcome(report.outcome.value),
            reason=report.reason,
            rows=report.rows,
            load_s=report.load_s,
            p50_ms=report.p50_ms,
            p95_ms=report.p95_ms,
            memory_mib=report.peak_rss_mib,
            answers_equal=report.answers_equal,
            first_difference=report.first_difference,
            confined_by=report.confined_by,
        )
