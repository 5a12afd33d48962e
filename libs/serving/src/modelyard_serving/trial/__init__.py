"""Try a version before it may serve: `run_trial(folder, limits)` loads it confined and replays its example."""

from modelyard_serving.trial.report import TrialLimits, TrialOutcome, TrialReport
from modelyard_serving.trial.run import run_trial

__all__ = ["TrialLimits", "TrialOutcome", "TrialReport", "run_trial"]
