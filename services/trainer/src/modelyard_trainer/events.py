"""Topics to use cases, one each."""

import logging
from collections.abc import Mapping

from modelyard_contracts import AlertRaised, DriftDetected, Message, TrainingRunRequested
from modelyard_runtime.kafka import EventContext
from modelyard_runtime.kafka.events import Handler
from modelyard_trainer.usecases import Deps, drift_detected, run_requested

log = logging.getLogger(__name__)


def handlers(deps: Deps) -> Mapping[type[Message], Handler]:
    """What each event does; each may come twice."""

    def on_run_requested(event: TrainingRunRequested, context: EventContext) -> None:
        run = run_requested(deps, event)
        log.info("request %s: %s", event.event_id, "seen before" if run is None else f"run {run.id} {run.state.value}")

    def on_drift_detected(event: DriftDetected, context: EventContext) -> None:
        run = drift_detected(deps, event)
        said = "nothing new" if run is None else f"run {run.id} {run.state.value} {run.reason}"
        log.info("%s drift of %s (%s): %s", event.kind.value, event.model, event.subject, said)

    def on_alert_raised(event: AlertRaised, context: EventContext) -> None:
        """An alert starts no training: more of the same data does not mend an error rate or a latency."""
        log.info("alert %s of %s: %s", event.alert, event.model, event.reason)

    return {
        TrainingRunRequested: on_run_requested,
        DriftDetected: on_drift_detected,
        AlertRaised: on_alert_raised,
    }
