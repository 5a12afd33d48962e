"""Event handlers: each event calls one use case, in the transaction that claims it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from modelyard_contracts import (
    AlertRaised,
    EvaluationFinished,
    Message,
    ResourceChange,
    ResourceChanged,
    RolloutRequested,
    RouteApplied,
)
from modelyard_deployer.domain.ports import Deps, Records
from modelyard_deployer.usecases import reactions

Event = ResourceChanged | RolloutRequested | EvaluationFinished | AlertRaised | RouteApplied
USE_CASES: Final[Mapping[type[Message], Callable[[Records, Any, datetime], None]]] = {
    ResourceChanged: reactions.on_model_changed,
    RolloutRequested: reactions.on_rollout_requested,
    EvaluationFinished: reactions.on_evaluation_finished,
    AlertRaised: reactions.on_alert,
    RouteApplied: reactions.on_route_applied,
}


def handle(deps: Deps, event: Event) -> None:
    """Handle an event once, however often it is delivered."""
    use_case = USE_CASES[type(event)]
    with deps.store.write() as records:
        if records.claim(event):
            use_case(records, event, deps.clock())
    if isinstance(event, ResourceChanged) and event.change is ResourceChange.VERSION_REGISTERED:
        deps.workloads.prepare()  # while the version is evaluated
    deps.notify(event.model)


def handlers(deps: Deps) -> dict[type[Message], Callable[[Any, Any], None]]:
    """Message class to handler, for the consumer."""
    return {kind: lambda event, _: handle(deps, event) for kind in USE_CASES}
