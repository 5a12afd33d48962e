"""/v1/models/{model}/versions."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from modelyard_contracts import VersionStage
from modelyard_registry.api.models import Reader, Writer, actor_of
from modelyard_registry.api.shapes import After, Decision, Limit, ModelName, NewVersion, Page, VersionNumber, VersionOut
from modelyard_registry.domain.ports import Deps
from modelyard_registry.domain.stages import Signal
from modelyard_registry.domain.values import Story, Version
from modelyard_registry.usecases import versions
from modelyard_registry.usecases.models import begin_story
from modelyard_runtime.auth import Principal
from modelyard_runtime.http import require

DECISIONS = {"approve": Signal.APPROVED, "reject": Signal.REJECTED, "retire": Signal.RETIRED}


def routes(deps: Deps) -> APIRouter:
    router = APIRouter(prefix="/v1/models/{model}/versions")
    _two_phases(router, deps)
    _reading(router, deps)
    for word, signal in DECISIONS.items():
        router.post(f"/{{version}}/{word}", name=word)(_decision(deps, signal))
    return router


def _two_phases(router: APIRouter, deps: Deps) -> None:
    @router.post("", status_code=201)
    def create_version(model: ModelName, body: NewVersion, response: Response, principal: Writer) -> VersionOut:
        own = begin_story(deps, actor_of(principal, body.actor))
        story = Story(own.actor, "", own.at, body.correlation_id or own.correlation_id, body.cause_id)
        version, new = versions.create_version(
            deps, model, body.manifest, idempotency_key=body.idempotency_key, story=story
        )
        response.status_code = 201 if new else 200
        return _told(deps, version)

    @router.post("/{version}/finalize")
    def finalize(model: ModelName, version: VersionNumber, principal: Writer) -> VersionOut:
        return _told(deps, versions.finalize_version(deps, model, version, actor=principal.name))


def _reading(router: APIRouter, deps: Deps) -> None:
    @router.get("")
    def list_versions(
        model: ModelName, _: Reader, after: After = 0, limit: Limit = 100, stage: VersionStage | None = None
    ) -> Page[VersionOut]:
        with deps.storage.read() as records:
            records.model(model)
            found = records.versions(model, min(after, 2**31 - 1), limit + 1, stage)
            held = records.aliases(model)
        items = [
            VersionOut.of(one, tuple(alias.alias for alias in held if alias.version == one.version))
            for one in found[:limit]
        ]
        return Page(items=items, next_after=items[-1].version if len(found) > limit else None)

    @router.get("/{version}")
    def show_version(model: ModelName, version: VersionNumber, _: Reader) -> VersionOut:
        with deps.storage.read() as records:
            found = records.version(model, version)
        return _told(deps, found)

    @router.get("/{version}/manifest")
    def manifest(model: ModelName, version: VersionNumber, _: Reader) -> Response:
        with deps.storage.read() as records:
            found = records.version(model, version)
        headers = {"x-modelyard-digest": found.digest, "etag": f'"{found.digest}"'}
        return Response(found.manifest, media_type="application/json", headers=headers)


def _decision(deps: Deps, signal: Signal) -> Callable[..., VersionOut]:
    def decide(
        model: ModelName,
        version: VersionNumber,
        body: Decision,
        principal: Annotated[Principal, Depends(require("write"))],
    ) -> VersionOut:
        actor = actor_of(principal, body.actor)
        return _told(deps, versions.decide(deps, model, version, signal, actor=actor, reason=body.reason))

    return decide


def _told(deps: Deps, version: Version) -> VersionOut:
    with deps.storage.read() as records:
        held = versions.aliases_at(records, version.model, version.version)
    missing = versions.missing_blobs(deps.blobs, version) if version.stage is VersionStage.PENDING else ()
    return VersionOut.of(version, held, missing)
