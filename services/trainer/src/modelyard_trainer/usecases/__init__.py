"""The trainer's use cases: functions of Deps (ports and clock) that open nothing themselves."""

from modelyard_trainer.usecases.cancel import cancel_run
from modelyard_trainer.usecases.create import check_recipe
from modelyard_trainer.usecases.deps import Deps, RunRequest
from modelyard_trainer.usecases.drift import retrain_on_drift
from modelyard_trainer.usecases.learners import follow_policy
from modelyard_trainer.usecases.request import request_run, request_run_by_event
from modelyard_trainer.usecases.schedule import follow_schedule, retrain_on_schedule

__all__ = [
    "Deps",
    "RunRequest",
    "cancel_run",
    "check_recipe",
    "follow_policy",
    "follow_schedule",
    "request_run",
    "request_run_by_event",
    "retrain_on_drift",
    "retrain_on_schedule",
]
