"""Handlers of events; each event may be delivered more than once."""

import logging
from collections.abc import Mapping

from modelyard_contracts import (
    AlertRaised,
    DriftDetected,
    Message,
    ResourceChange,
    ResourceChanged,
    TrainingRunRequested,
)
from modelyard_runtime.kafka import EventContext
from modelyard_runtime.kafka.events import Handler
from modelyard_trainer.domain.errors import BadRequest
from modelyard_trainer.usecases import Deps, follow_policy, follow_schedule, request_run_by_event, retrain_on_drift

log = logging.getLogger(__name__)


def handlers(deps: Deps) -> Mapping[type[Message], Handler]:
    """Return the handler of each event type."""

    def on_run_requested(event: TrainingRunRequested, context: EventContext) -> None:
        run = request_run_by_event(deps, event)
        outcome = "duplicate" if run is None else f"run {run.id} {run.state.value}"
        log.info("request %s: %s", event.event_id, outcome)

    def on_drift_detected(event: DriftDetected, context: EventContext) -> None:
        run = retrain_on_drift(deps, event)
        outcome = "no new run" if run is None else f"run {run.id} {run.state.value} {run.reason}"
        log.info("%s drift of %s (%s): %s", event.kind.value, event.model, event.subject, outcome)

    def on_alert_raised(event: AlertRaised, context: EventContext) -> None:
        """Log only: training on the same data does not fix an error rate or a latency."""
        log.info("alert %s of %s: %s", event.alert, event.model, event.reason)

    def on_resource_changed(event: ResourceChanged, context: EventContext) -> None:
        """A changed retraining policy starts and stops online learners and schedules."""
        changed = event.change is ResourceChange.POLICY_CHANGED and event.policy in (None, "retrain")
        if not (event.about_model and changed):
            return
        try:
            if deps.learners is not None:
                follow_policy(deps.registry, deps.learners, event.model)
            if deps.schedules is not None:
                follow_schedule(deps, deps.schedules, event.model)
        except BadRequest as error:  # a policy of a newer release: learners and schedules stay as they are
            log.warning("policy of %s: %s", event.model, error)

    return {
        ResourceChanged: on_resource_changed,
        TrainingRunRequested: on_run_requested,
        DriftDetected: on_drift_detected,
        AlertRaised: on_alert_raised,
    }
