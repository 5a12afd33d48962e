"""Connections to providers: `/v1/connections`."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, ValidationError

from modelyard_contracts.connections import Connection
from modelyard_contracts.documents import read
from modelyard_contracts.sentences import explain
from modelyard_registry.api.callers import actor_of, cursor
from modelyard_registry.api.fields import (
    After,
    Body,
    CleanText,
    Document,
    Limit,
    Line,
    Reason,
    ReferencePath,
    Text,
)
from modelyard_registry.api.resources import show_history
from modelyard_registry.api.responses import EntryOut, Page
from modelyard_registry.domain.connections import MAX_USERS, StoredConnection
from modelyard_registry.domain.names import CONNECTION, key_of
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases import connections
from modelyard_registry.usecases.history import origin_of
from modelyard_runtime.access import Principal
from modelyard_runtime.errors import Invalid
from modelyard_runtime.http import allow, allowed_workspaces

Reader = Annotated[Principal, Depends(allow("read", CONNECTION))]
Lister = Annotated[Principal, Depends(allow("read", CONNECTION, over="any-workspace"))]
Updater = Annotated[Principal, Depends(allow("update", CONNECTION))]


class ConnectionBody(Body):
    """document: the whole connection. expected_revision: 0 creates it; else the revision that was read."""

    document: Document
    expected_revision: Annotated[int, Field(ge=0, le=2**31 - 1)]
    reason: Text = ""
    actor: Line | None = None


class ConnectionOut(BaseModel):
    """name: the reference. document: endpoint, name of the secret, prices and limits; never the secret itself."""

    name: str
    workspace: str
    revision: int
    document: Connection
    changed_at: datetime
    changed_by: str

    @classmethod
    def of(cls, stored: StoredConnection) -> "ConnectionOut":
        return cls(
            name=stored.key.reference,
            workspace=stored.key.workspace,
            revision=stored.revision,
            document=read(Connection, stored.document or {}),
            changed_at=stored.changed_at,
            changed_by=stored.changed_by,
        )


class ConnectionDetailOut(ConnectionOut):
    """used_by: versions that name it, `model@3`, at most 20, without retired ones."""

    used_by: list[str]


def routes(deps: Deps) -> APIRouter:
    """Lists, reads, changes and history of connections."""
    router = APIRouter(prefix="/v1/connections", tags=[CONNECTION])
    _read(router, deps)
    _change(router, deps)
    return router


def _read(router: APIRouter, deps: Deps) -> None:
    @router.get("")
    def list_all(
        principal: Lister,
        limit: Limit = 100,
        after: Annotated[CleanText, Query(max_length=200, description="cursor: the last name of the page before")] = "",
        workspace: Annotated[CleanText | None, Query(max_length=63)] = None,
    ) -> Page[ConnectionOut]:
        """Connections of all workspaces that the caller may read, or of one of them, by name."""
        readable = allowed_workspaces(principal, "read", CONNECTION)
        if workspace is not None:
            readable = frozenset({workspace}) if readable is None else readable & {workspace}
        with deps.storage.read() as records:
            found = records.connections.page(cursor(CONNECTION, after), limit + 1, readable)
        items = [ConnectionOut.of(one) for one in found[:limit]]
        return Page(items=items, next_after=items[-1].name if len(found) > limit else None)

    @router.get("/{reference}")
    def show(reference: ReferencePath, _: Reader) -> ConnectionDetailOut:
        """One connection, and the versions that name it."""
        return _detailed(deps, reference)

    @router.get("/{reference}/history")
    def history(reference: ReferencePath, _: Reader, after: After = 0, limit: Limit = 100) -> Page[EntryOut]:
        """Every revision with who set it, when and why, oldest first; also of a deleted connection."""
        return show_history(deps, key_of(CONNECTION, reference), after, limit)


def _change(router: APIRouter, deps: Deps) -> None:
    @router.put("/{reference}")
    def set_connection(reference: ReferencePath, body: ConnectionBody, principal: Updater) -> ConnectionDetailOut:
        """Create or replace a connection. 409 `stale_connection` when it is at another revision; equal: no change."""
        origin = origin_of(deps, actor_of(principal, body.actor), body.reason)
        key, wanted = key_of(CONNECTION, reference), _checked(body.document)
        connections.set_connection(deps, key, wanted, expected_revision=body.expected_revision, origin=origin)
        return _detailed(deps, reference)

    @router.delete("/{reference}", status_code=204)
    def delete_connection(
        reference: ReferencePath, expected_revision: After, reason: Annotated[Reason, Query()], principal: Updater
    ) -> None:
        """Delete a connection. 409 `connection_in_use` names the versions that need it."""
        origin = origin_of(deps, principal.identity, reason)
        key = key_of(CONNECTION, reference)
        connections.delete_connection(deps, key, expected_revision=expected_revision, origin=origin)


def _detailed(deps: Deps, reference: str) -> ConnectionDetailOut:
    key = key_of(CONNECTION, reference)
    with deps.storage.read() as records:
        stored = connections.find_connection(records, key)
        users = connections.users_of(records, key)[:MAX_USERS]
    return ConnectionDetailOut(**dict(ConnectionOut.of(stored)), used_by=list(users))


def _checked(document: dict[str, object]) -> Connection:
    """The document, checked strictly. An error names the field and never its value."""
    try:
        return Connection.model_validate(document)
    except ValidationError as error:
        explained = explain(error, "document")
        raise Invalid(explained.sentence, field=explained.field) from error
