"""Versions of resources of one kind: `/v1/{kind}s/{reference}/versions`."""

from collections.abc import Callable
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import PlainTextResponse

from modelyard_contracts import VersionStage
from modelyard_registry.api.callers import actor_of
from modelyard_registry.api.fields import After, Limit, Lineage, ReferencePath, VersionNumber, name_and_value
from modelyard_registry.api.requests import DecisionBody, LabelsBody, NewVersionBody
from modelyard_registry.api.responses import Page, VersionDetailOut, VersionOut
from modelyard_registry.domain.kinds import CARDS
from modelyard_registry.domain.names import key_of
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.values import Origin, ResourceKey, Version, VersionFilter
from modelyard_registry.usecases import versions
from modelyard_registry.usecases.aliases import aliases_at
from modelyard_registry.usecases.decisions import decide
from modelyard_registry.usecases.history import origin_of
from modelyard_registry.usecases.resemblance import resemblances
from modelyard_runtime.access import Principal, Target, may
from modelyard_runtime.errors import Invalid
from modelyard_runtime.http import allow, allowed_workspaces
from modelyard_runtime.tracing import current_correlation_id

DECISIONS = {"approve": Signal.APPROVED, "reject": Signal.REJECTED, "retire": Signal.RETIRED}
Tag = Annotated[str | None, Query(max_length=400, description="`name=value`")]


def routes(deps: Deps, kind: str) -> APIRouter:
    """Registration, reads and decisions of one kind."""
    router = APIRouter(prefix=f"/v1/{kind}s/{{reference}}/versions", tags=[kind])
    _register(router, deps, kind)
    _read(router, deps, kind)
    _contents(router, deps, kind)
    for action, signal in DECISIONS.items():
        router.post(f"/{{version}}/{action}", name=action)(_decision(deps, kind, action, signal))
    return router


def _register(router: APIRouter, deps: Deps, kind: str) -> None:
    registrar = Depends(allow("register", kind))
    updater = Depends(allow("update", kind))

    @router.post("", status_code=201, responses={200: {"model": VersionOut}})
    def create(
        reference: ReferencePath, body: NewVersionBody, response: Response, principal: Principal = registrar
    ) -> VersionOut:
        """Start a version. The answer names the blobs that are still missing; upload them, then finalize."""
        key = key_of(kind, reference)
        correlation = body.correlation_id or current_correlation_id() or uuid4()
        origin = Origin(actor_of(principal, body.actor), "", deps.clock(), correlation, body.cause_id)
        version, new = versions.create_version(
            deps,
            key,
            _manifest(body.manifest),
            idempotency_key=body.idempotency_key,
            origin=origin,
            semver=body.semver,
            tags=body.tags,
        )
        response.status_code = 201 if new else 200
        return show_version(deps, key, version)

    @router.post("/{version}/finalize")
    def finalize(
        reference: ReferencePath, version: VersionNumber, principal: Principal = registrar
    ) -> VersionDetailOut:
        """Verify and scan every blob and register the version. Repeats change nothing.

        422 `inadmissible` when the scan refuses the version: `findings` are the worst, with file, rule and remedy.
        422 `permission_not_granted` when the manifest asks for permissions that were not granted.
        """
        key = key_of(kind, reference)
        may_allow_code = may(principal, "allow-code", Target(key.workspace, kind, key.name)).allowed
        finalized = versions.finalize_version(
            deps, key, version, actor=principal.identity, may_allow_code=may_allow_code
        )
        return _detailed(deps, key, finalized, principal)

    @router.patch("/{version}")
    def label(
        reference: ReferencePath, version: VersionNumber, body: LabelsBody, principal: Principal = updater
    ) -> VersionOut:
        """Replace the tags, or set the semver label. 409 `stale_labels` when `expected_revision` has passed."""
        key = key_of(kind, reference)
        origin = origin_of(deps, actor_of(principal, body.actor), body.reason)
        labelled = versions.label_version(
            deps,
            key,
            version,
            semver=body.semver,
            tags=body.tags,
            origin=origin,
            expected_revision=body.expected_revision,
        )
        return show_version(deps, key, labelled)


def _read(router: APIRouter, deps: Deps, kind: str) -> None:
    reader = Depends(allow("read", kind))

    @router.get("")
    def list_all(
        reference: ReferencePath,
        lineage: Lineage,
        after: After = 0,
        limit: Limit = 100,
        stage: VersionStage | None = None,
        task: Annotated[str | None, Query(max_length=64)] = None,
        semver: Annotated[str | None, Query(max_length=200)] = None,
        tag: Tag = None,
        _: Principal = reader,
    ) -> Page[VersionOut]:
        """Versions that fit every condition, oldest first."""
        where = VersionFilter(stage, task, semver, name_and_value(tag, "tag"), lineage)
        key = key_of(kind, reference)
        with deps.storage.read() as records:
            resource = records.resources.get(key)
            found = records.versions.page(resource, min(after, 2**31 - 1), limit + 1, where)
            held = records.aliases.all(resource)
        items = [
            VersionOut.of(key, one, tuple(alias.alias for alias in held if alias.version == one.version))
            for one in found[:limit]
        ]
        return Page(items=items, next_after=items[-1].version if len(found) > limit else None)

    @router.get("/{version}")
    def show(reference: ReferencePath, version: VersionNumber, principal: Principal = reader) -> VersionDetailOut:
        key = key_of(kind, reference)
        return _detailed(deps, key, _get(deps, key, version), principal)


def _contents(router: APIRouter, deps: Deps, kind: str) -> None:
    reader = Depends(allow("read", kind))

    @router.get("/{version}/manifest", response_class=Response, responses={200: {"content": {"application/json": {}}}})
    def manifest(reference: ReferencePath, version: VersionNumber, _: Principal = reader) -> Response:
        """Return the bytes that the digest is of."""
        found = _get(deps, key_of(kind, reference), version)
        headers = {"x-modelyard-digest": found.digest, "etag": f'"{found.digest}"'}
        return Response(found.manifest, media_type="application/json", headers=headers)

    if kind not in CARDS:  # the card of a model has endpoints of its own
        return

    @router.get("/{version}/card", response_class=PlainTextResponse)
    def card(reference: ReferencePath, version: VersionNumber, _: Principal = reader) -> PlainTextResponse:
        """Describe the version for people, as Markdown."""
        found = _get(deps, key_of(kind, reference), version)
        return PlainTextResponse(CARDS[kind](key_of(kind, reference).reference, found))


def _decision(deps: Deps, kind: str, action: str, signal: Signal) -> Callable[..., VersionOut]:
    allowed = Depends(allow(action, kind))

    def decide_version(
        reference: ReferencePath, version: VersionNumber, body: DecisionBody, principal: Principal = allowed
    ) -> VersionOut:
        """Record the decision with its reason and move the version."""
        key = key_of(kind, reference)
        decided = decide(
            deps,
            key,
            version,
            signal,
            actor=actor_of(principal, body.actor),
            reason=body.reason,
            expected=body.expected_stage,
            alone=principal.kind == "bootstrap",
        )
        return show_version(deps, key, decided)

    return decide_version


def show_version(deps: Deps, key: ResourceKey, version: Version) -> VersionOut:
    """A version with its aliases and, while it is pending, the blobs it lacks."""
    with deps.storage.read() as records:
        resource = records.resources.get(key)
        held = aliases_at(records, resource, version.version)
        pending = version.stage is VersionStage.PENDING
        files = records.versions.files(resource, version.version) if pending else ()
    return VersionOut.of(key, version, held, versions.missing_blobs(deps.blobs, files))


def _detailed(deps: Deps, key: ResourceKey, version: Version, principal: Principal) -> VersionDetailOut:
    workspaces = allowed_workspaces(principal, "read", key.kind)
    with deps.storage.read() as records:
        found = resemblances(records, records.resources.get(key), version, workspaces)
    return VersionDetailOut.detailed(show_version(deps, key, version), found)


def _get(deps: Deps, key: ResourceKey, version: int) -> Version:
    with deps.storage.read() as records:
        return records.versions.get(records.resources.get(key), version)


def _manifest(given: str | dict[str, object]) -> bytes | dict[str, object]:
    if isinstance(given, dict):
        return given
    try:
        return given.encode()
    except UnicodeEncodeError as error:
        raise Invalid("manifest: a text holds half a character (a lone surrogate)", field="manifest") from error
