"""`/admin/keys`: API keys. The text of a key is shown once, on the page that answers its creation."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from modelyard import ApiError, ApiKeyInfo
from modelyard_console.clients.platform import explained
from modelyard_console.domain import links
from modelyard_console.domain.roles import expiry_sent, roles_sent, scopes_sent
from modelyard_console.pages.view import Console, Form, View
from modelyard_runtime.access import ALL_WORKSPACES, ROLES, SCOPES, Target, may
from modelyard_runtime.errors import Invalid

GRACES: Final = (("0", "at once"), ("3600", "in 1 hour"), ("86400", "in 1 day"), ("604800", "in 7 days"))
"""Seconds that a rotated key still works, and their title."""


def add_keys(app: FastAPI, console: Console) -> None:
    manager = console.view("manage-keys", "key")
    sent = console.form("manage-keys", "key", "any-workspace")

    @app.get("/admin/keys", response_class=HTMLResponse)
    def keys(view: Annotated[View, Depends(manager)]) -> Response:
        """List the keys whose roles the person manages."""
        return _keys_page(view)

    @app.post("/admin/keys", response_class=HTMLResponse)
    def create(form: Annotated[Form, Depends(sent)]) -> Response:
        """Create a key and show its text once."""
        try:
            key = form.view.io.registry.client.create_key(
                form.required("name", "name"),
                roles_sent(form.values),
                scopes=scopes_sent(form.values),
                expires_at=expiry_sent(form.text("expires"), console.clock()),
            )
        except (ApiError, Invalid) as error:
            return _keys_page(form.view, form.values, problem=_problem(error))
        return form.view.page("key_created.html", 201, key=key, replaced=None)

    @app.post("/admin/keys/{key_id}/rotate", response_class=HTMLResponse)
    def rotate(key_id: str, form: Annotated[Form, Depends(sent)]) -> Response:
        """Create the key's successor and show its text once."""
        try:
            grace_s = int(form.text("grace_s", "3600"))
            key = form.view.io.registry.client.rotate_key(key_id, grace_s=grace_s)
        except ValueError:
            return form.refused({"detail": "grace_s: give whole seconds", "field": "grace_s", "remedy": None})
        except ApiError as error:
            return form.refused(explained(error), error.status or 503)
        return form.view.page("key_created.html", 201, key=key, replaced=key_id)

    @app.post("/admin/keys/{key_id}/revoke", response_class=HTMLResponse)
    def revoke(key_id: str, form: Annotated[Form, Depends(sent)]) -> Response:
        """Refuse the key from now on."""
        return form.do(
            lambda io: io.registry.client.revoke_key(key_id),
            done=f"Key {key_id} is revoked. Services refuse it within 30 s.",
            then=links.keys(),
        )


def _keys_page(
    view: View, values: Mapping[str, str] | None = None, problem: Mapping[str, Any] | None = None
) -> Response:
    now = view.console.clock()
    found = view.io.registry(lambda registry: registry.api_keys())
    workspaces = view.io.registry(lambda registry: registry.workspaces())
    names = [ALL_WORKSPACES, *(one.name for one in workspaces.part.or_else(()))]
    managed = [name for name in names if may(view.me, "manage-keys", Target(name, "key")).allowed]
    return view.page(
        "keys.html",
        422 if problem else 200,
        keys=found.part,
        states={key.id: state_of(key, now) for key in found.part.or_else(())},
        workspaces=managed,
        roles=list(ROLES),
        scopes=list(SCOPES),
        values=values or {},
        problem=problem,
        graces=GRACES,
    )


def state_of(key: ApiKeyInfo, now: datetime) -> str:
    """`revoked`, `expired` or `active`."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"


def _problem(error: ApiError | Invalid) -> dict[str, Any]:
    if isinstance(error, ApiError):
        return explained(error)
    return {"detail": str(error), "field": error.field, "remedy": error.remedy}
