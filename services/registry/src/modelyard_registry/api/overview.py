"""Reads over all resources: `/v1/versions`, `/v1/audit`, `/v1/me`."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request

from modelyard_contracts import VersionStage
from modelyard_contracts.references import Kind
from modelyard_registry.api.callers import cursor
from modelyard_registry.api.fields import (
    CleanText,
    Limit,
    Moment,
    PageCursor,
    page_cursor,
    read_page_cursor,
)
from modelyard_registry.api.key_responses import MeOut
from modelyard_registry.api.responses import AuditOut, DigestMatchOut, NeglectedOut, Page, StagedVersionOut
from modelyard_registry.domain.kinds import KINDS
from modelyard_registry.domain.names import CONNECTION, WORKSPACE, key_of
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.values import AuditScope
from modelyard_registry.usecases import keys
from modelyard_runtime.access import Principal
from modelyard_runtime.access.authenticator import token_of
from modelyard_runtime.http import allow, allowed_workspaces, authenticated
from modelyard_runtime.http.moments import read_moment

Reader = Annotated[Principal, Depends(allow("read", Kind.MODEL, over="any-workspace"))]
Caller = Annotated[Principal, Depends(authenticated())]
Text = Annotated[CleanText, Query(max_length=200)]
AFTER_HEX: Final = "g"
"""Sorts after every hexadecimal digit."""
DigestPath = Annotated[
    str, Path(pattern=r"^(sha256:)?[0-9a-f]{6,64}$", description="a digest, or its first 6 or more digits")
]


def routes(deps: Deps) -> APIRouter:
    """The inbox of approvals, the audit list and the caller."""
    router = APIRouter(prefix="/v1", tags=["overview"])
    _versions(router, deps)
    _digests(router, deps)
    _problems(router, deps)
    _audit(router, deps)
    _me(router, deps)
    return router


def _versions(router: APIRouter, deps: Deps) -> None:
    @router.get("/versions")
    def versions_at(
        principal: Reader,
        stage: VersionStage = VersionStage.EVALUATED,
        kind: Kind = Kind.MODEL,
        after: PageCursor = "",
        limit: Limit = 100,
    ) -> Page[StagedVersionOut]:
        """Versions at one stage of all resources that the caller may read, newest first."""
        workspaces = allowed_workspaces(principal, "read", kind)
        with deps.storage.read() as records:
            found = records.search.versions_at(kind, stage, workspaces, read_page_cursor(after), limit + 1)
        page = found[:limit]
        last = page[-1] if len(found) > limit else None
        following = page_cursor(last.created_at, last.resource_id, last.version) if last else None
        return Page(items=[StagedVersionOut.of(one) for one in page], next_after=following)


def _digests(router: APIRouter, deps: Deps) -> None:
    @router.get("/digests/{digest}")
    def by_digest(digest: DigestPath, principal: Reader, limit: Limit = 20) -> Page[DigestMatchOut]:
        """Versions of all kinds whose manifest or one of whose files has this digest, newest first."""
        readable = {kind: allowed_workspaces(principal, "read", kind) for kind in KINDS}
        first = "sha256:" + digest.removeprefix("sha256:")
        with deps.storage.read() as records:
            found = records.search.by_digest(first, first + AFTER_HEX, readable, limit)
        return Page(items=[DigestMatchOut.found(one) for one in found], next_after=None)


def _problems(router: APIRouter, deps: Deps) -> None:
    @router.get("/catalogue/problems")
    def problems(
        principal: Reader,
        after: Annotated[CleanText, Query(max_length=200, description="cursor: the last name of the page before")] = "",
        limit: Limit = 100,
    ) -> Page[NeglectedOut]:
        """Models that have no owner, no card, never had traffic, or are duplicates, by name."""
        workspaces = allowed_workspaces(principal, "read", Kind.MODEL)
        with deps.storage.read() as records:
            found = records.catalogue.neglected(workspaces, cursor(Kind.MODEL, after), limit + 1)
        items = [NeglectedOut.of(one) for one in found[:limit]]
        return Page(items=items, next_after=items[-1].model if len(found) > limit else None)


def _audit(router: APIRouter, deps: Deps) -> None:
    @router.get("/audit")
    def audit(
        principal: Reader,
        actor: Text = "",
        action: Annotated[CleanText, Query(max_length=64, description="such as `version_moved` or `key_created`")] = "",
        model: Annotated[str, Query(max_length=200, description="only of this model")] = "",
        q: Annotated[CleanText, Query(max_length=200, description="part of the reason, actor, action or name")] = "",
        since: Moment = None,
        until: Moment = None,
        after: PageCursor = "",
        limit: Limit = 100,
    ) -> Page[AuditOut]:
        """Every change that the caller may read, newest first. Key changes need the right to manage keys.

        With `q` a page covers the next 20,000 changes: it may be short or empty and still have a `next_after`.
        """
        scope = AuditScope(
            {kind: allowed_workspaces(principal, "read", kind) for kind in (*KINDS, WORKSPACE, CONNECTION)},
            allowed_workspaces(principal, "manage-keys", "key"),
            key_of(Kind.MODEL, model, field="model") if model else None,
            *(actor, action, q),
            *(read_moment(since, "since"), read_moment(until, "until"), read_page_cursor(after)),
        )
        with deps.storage.read() as records:
            found = records.search.audit(scope, limit)
        following = page_cursor(*found.before) if found.before else None
        return Page(items=[AuditOut.on(one.key, one.entry) for one in found.entries], next_after=following)


def _me(router: APIRouter, deps: Deps) -> None:
    @router.get("/me")
    def me(request: Request, principal: Caller) -> MeOut:
        """Identity, roles and scopes of the calling key."""
        key = keys.introspect(deps, token_of(request.headers.get("authorization")) or "")
        return MeOut(
            identity=principal.identity,
            kind=principal.kind,
            roles={workspace: sorted(roles) for workspace, roles in principal.roles.items()},
            scopes=None if principal.scopes is None else sorted(principal.scopes),
            expires_at=key.expires_at if key else None,
        )
