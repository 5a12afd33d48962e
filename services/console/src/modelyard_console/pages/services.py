"""`/admin`: what is there and what needs care; `/admin/services`: each service, and how far the monitor is behind."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from modelyard import DeadLetters, ServiceState
from modelyard_console.clients.platform import Part, Pending
from modelyard_console.domain import links
from modelyard_console.domain.care import Care, of_ingest, of_keys, of_letters, of_service, topics_of
from modelyard_console.pages.dead_letters import SERVICES, asked
from modelyard_console.pages.keys import state_of
from modelyard_console.pages.view import Console, View
from modelyard_runtime.access import Target, may
from modelyard_runtime.access.principals import ALL_WORKSPACES

ALL: Final = ("registry", "trainer", "evaluator", "deployer", "router", "monitor")


def add_services(app: FastAPI, console: Console) -> None:
    @app.get("/admin", response_class=HTMLResponse)
    def admin(view: Annotated[View, Depends(console.view("read", "model"))]) -> Response:
        """Show what is there, what needs care, and where to act on it."""
        return view.page("admin.html", **_overview(view))

    @app.get(links.services(), response_class=HTMLResponse)
    def services(view: Annotated[View, Depends(console.view("read", "model"))]) -> Response:
        """Show each service with its address, release and checks; and how far the monitor is behind."""
        states, ingest = _states(view), _ingest(view)
        topics = topics_of(ingest.part.found) if ingest and ingest.part.found else []
        found = {"services": _listed(view, states), "ingest": ingest.part if ingest else None, "topics": topics}
        return view.page("services.html", **found)


def everywhere(view: View, action: str, kind: str) -> bool:
    """Whether a person may do something in all workspaces."""
    return may(view.me, action, Target(ALL_WORKSPACES, kind)).allowed


def _overview(view: View) -> dict[str, Any]:
    """Everything that the person may see is asked for at once."""
    io = view.io
    states, ingest = _states(view), _ingest(view)
    boxes = {name: asked(io, name) for name in SERVICES} if everywhere(view, "read-dead-letters", "service") else None
    keys = io.registry(lambda registry: registry.api_keys()) if view.may("manage-keys", "key") else None
    spaces = io.registry(lambda registry: registry.workspaces()) if view.may("read", "workspace") else None
    now, held = view.console.clock(), keys.part.or_else(()) if keys else ()
    found = ingest.part.found if ingest else None
    topics = topics_of(found) if found else []
    care = [one for name, state in states.items() for one in _care_of(name, state.part)]
    care += of_ingest(topics, found or {})
    care += [one for name, box in (boxes or {}).items() if box.part.found for one in of_letters(name, box.part.found)]
    care += of_keys(held, now)
    return {
        "services": len(states),
        "ready": sum(bool(state.part.found and state.part.found.ready) for state in states.values()),
        "ingest": ingest.part if ingest else None,
        "topics": topics,
        "letters": _count(boxes) if boxes is not None else None,
        "letters_known": boxes is not None and all(box.part.found for box in boxes.values()),
        "keys": keys.part if keys else None,
        "active_keys": sum(state_of(key, now) == "active" for key in held),
        "workspaces": spaces.part if spaces else None,
        "care": sorted(care, key=lambda one: one.level),  # bad before warn
        "away": _refused([one for one in (ingest, keys, spaces) if one]),
        "pages": _pages(view),
    }


def _states(view: View) -> dict[str, Pending[ServiceState]]:
    return {name: view.io.named(name)(lambda client: client.state()) for name in ALL}


def _ingest(view: View) -> Pending[dict[str, Any]] | None:
    """None for those who may not read services."""
    return view.io.monitor(lambda monitor: monitor.ingest()) if everywhere(view, "read", "service") else None


def _listed(view: View, states: dict[str, Pending[ServiceState]]) -> list[tuple[str, str, Part[ServiceState]]]:
    return [(name, view.console.platform.urls[name], pending.part) for name, pending in states.items()]


def _care_of(name: str, part: Part[ServiceState]) -> list[Care]:
    return list(of_service(name, part.found, part.away.reason if part.away else ""))


def _count(boxes: dict[str, Pending[DeadLetters]]) -> int:
    return sum(topic.count for box in boxes.values() if box.part.found for topic in box.part.found.topics)


def _refused(calls: Sequence[Pending[Any]]) -> list[Part[Any]]:
    """Parts that a service refused; one that is away is in the list of what needs care already."""
    return [call.part for call in calls if call.part.away and call.part.away.refused]


def _pages(view: View) -> list[tuple[str, str, str]]:
    """Address, title and purpose of the pages that the person may open."""
    known = (
        (links.services(), "Services", "State, release, address and checks of each service; lag of the monitor.", True),
        (links.workspaces(), "Workspaces", "What separates models and people.", view.may("read", "workspace")),
        (links.keys(), "API keys", "Create, rotate and revoke keys.", view.may("manage-keys", "key")),
        (links.CONNECTIONS, "Connections", "Providers of models: prices and limits.", view.may("read", "connection")),
        (links.DEAD_LETTERS, "Dead letters", "Records set aside.", everywhere(view, "read-dead-letters", "service")),
        ("/admin/roles", "Roles", "What each role and scope may do.", True),
        (links.audit(), "Audit log", "Every change: who, what, on what, why, when.", True),
    )
    return [(address, title, about) for address, title, about, shown in known if shown]
