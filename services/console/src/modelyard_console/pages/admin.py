"""`/admin/workspaces`, `/admin/roles`, `/admin/audit`: workspaces, what roles allow, and every change."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from modelyard_console.domain import links
from modelyard_console.domain.roles import explained_roles, explained_scopes
from modelyard_console.pages.services import everywhere
from modelyard_console.pages.view import Console, Form, View
from modelyard_runtime.errors import Invalid

ROWS: Final = 50
ACTIONS: Final = (
    *("created", "version_registered", "version_moved", "alias_moved", "policy_changed", "tags_changed"),
    *("owner_changed", "described", "connection_created", "connection_replaced", "connection_deleted"),
    *("training_run_changed", "evaluation_finished", "rollout_changed"),
    *("key_created", "key_rotated", "key_revoked"),
)
"""Changes in the audit log."""


def add_admin(app: FastAPI, console: Console) -> None:
    _add_workspaces(app, console)
    _add_roles(app, console)
    _add_audit(app, console)


def _add_workspaces(app: FastAPI, console: Console) -> None:
    @app.get("/admin/workspaces", response_class=HTMLResponse)
    def workspaces(view: Annotated[View, Depends(console.view("read", "workspace"))]) -> Response:
        """List workspaces, with the number of their models."""
        found = view.io.registry(lambda registry: registry.workspaces())
        facets = view.io.registry(lambda registry: registry.model_facets(only=["workspace"]))
        counts = facets.part.found.workspace if facets.part.found else {}
        creates = everywhere(view, "create", "workspace")
        return view.page("workspaces.html", found=found.part, counts=counts, creates=creates)

    @app.post("/admin/workspaces", response_class=HTMLResponse)
    def create(form: Annotated[Form, Depends(console.form("create", "workspace", "all-workspaces"))]) -> Response:
        """Create a workspace."""
        name = form.text("name")
        return form.do(
            lambda io: io.registry.client.create_workspace(
                name, description=form.text("description"), owner=form.text("owner")
            ),
            done=f"Workspace {name} exists.",
            then=links.workspaces(),
        )


def _add_roles(app: FastAPI, console: Console) -> None:
    @app.get("/admin/roles", response_class=HTMLResponse)
    def roles(view: Annotated[View, Depends(console.view("read", "model"))]) -> Response:
        """Explain the roles and the scopes."""
        return view.page("roles.html", roles=explained_roles(), scopes=explained_scopes())


def _add_audit(app: FastAPI, console: Console) -> None:
    @app.get("/admin/audit", response_class=HTMLResponse)
    def audit(
        view: Annotated[View, Depends(console.view("read", "model"))],
        q: Annotated[str, Query(max_length=200)] = "",
        actor: Annotated[str, Query(max_length=200)] = "",
        action: Annotated[str, Query(max_length=64)] = "",
        model: Annotated[str, Query(max_length=200)] = "",
        since: Annotated[str, Query(max_length=32)] = "",
        until: Annotated[str, Query(max_length=32)] = "",
        after: Annotated[str, Query(max_length=200)] = "",
    ) -> Response:
        """Search every change: who, what, on what, why, when."""
        filters = {"q": q, "actor": actor, "action": action, "model": model, "since": since, "until": until}
        asked: dict[str, Any] = {name: filters[name].strip() or None for name in ("q", "actor", "action", "model")}
        asked |= {"since": day_of(since, "since"), "until": day_of(until, "until", end=True)}
        found = view.io.registry(lambda registry: registry.audit(**asked, limit=ROWS, after=after or None))
        return view.page("audit.html", found=found.part, filters=filters, actions=ACTIONS)


def day_of(text: str, field: str, *, end: bool = False) -> datetime | None:
    """Start of a day in UTC, or its end; None without one. Invalid names the field."""
    if not text.strip():
        return None
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
        return day + timedelta(days=1) if end else day
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{field}: give a day such as 2026-01-31", field=field) from error
