"""A registered version or an explicit request becomes an evaluation, in the transaction that claims the event."""

from collections.abc import Callable
from typing import Any

from modelyard_contracts import EvaluationRequested, Message, ResourceChange, ResourceChanged
from modelyard_contracts.references import Kind
from modelyard_evaluator.domain.ports import Deps
from modelyard_evaluator.usecases.request import Request, request_evaluation


def handle(deps: Deps, event: ResourceChanged | EvaluationRequested) -> None:
    """Request the evaluation, once per event; blocks on the database only."""
    request = _from_registry(event) if isinstance(event, ResourceChanged) else _from_request(event)
    if request is None:
        return
    with deps.storage.transaction() as tx:
        if tx.claim(event.event_id):
            request_evaluation(tx, request, deps.clock())


def handlers(deps: Deps, notify: Callable[[], None]) -> dict[type[Message], Callable[[Any, Any], None]]:
    """Message class to handler, for the consumer. notify: wakes the worker."""

    def handler(event: Any, _: Any) -> None:
        handle(deps, event)
        notify()

    return {ResourceChanged: handler, EvaluationRequested: handler}


def _from_registry(event: ResourceChanged) -> Request | None:
    if event.kind != Kind.MODEL or event.change is not ResourceChange.VERSION_REGISTERED or event.version is None:
        return None
    return Request(
        model=event.model,
        challenger_version=event.version,
        correlation_id=event.correlation_id,
        requested_by="registry",
        cause=str(event.event_id),
        cause_id=event.event_id,
        reason=f"version {event.version} was registered",
    )


def _from_request(event: EvaluationRequested) -> Request:
    return Request(
        model=event.model,
        challenger_version=event.challenger_version,
        correlation_id=event.correlation_id,
        requested_by=event.requested_by,
        cause=str(event.event_id),
        cause_id=event.event_id,
        champion_version=event.champion_version,
        reason=event.reason,
    )
