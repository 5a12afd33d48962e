"""Topics: each event becomes one use case, in the transaction that claims it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from modelyard_contracts import AlertRaised, Message, ResourceChange, ResourceChanged, RolloutRequested, RouteApplied
from modelyard_deployer import usecases
from modelyard_deployer.world import Deps
from modelyard_runtime.database import Transaction

GROUP: Final = "deployer"
USE_CASES: Final[Mapping[type[Message], Callable[[Transaction, Any, datetime], None]]] = {
    ResourceChanged: usecases.on_model_changed,
    RolloutRequested: usecases.on_rollout_requested,
    AlertRaised: usecases.on_alert,
    RouteApplied: usecases.on_route_applied,
}


def handle(deps: Deps, event: Message) -> None:
    """Once, however often it is delivered."""
    use_case = USE_CASES[type(event)]
    with deps.database.transaction() as tx:
        if tx.inbox.claim(GROUP, event.event_id):
            use_case(tx, event, deps.clock())
    if isinstance(event, ResourceChanged) and event.change is ResourceChange.VERSION_REGISTERED:
        deps.prepare()  # while it is evaluated
    deps.notify()


def handlers(deps: Deps) -> dict[type[Message], Callable[[Any, Any], None]]:
    """For the consumer: message class to handler."""
    return {kind: lambda event, _: handle(deps, event) for kind in USE_CASES}
