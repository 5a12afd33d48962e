"""/v1/models: models, aliases, policies, history."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import ValidationError

from modelyard_contracts.policies import POLICIES
from modelyard_registry.api.shapes import (
    After,
    AliasMove,
    AliasOut,
    EntryOut,
    Limit,
    ModelName,
    ModelOut,
    NewModel,
    NewPolicy,
    Page,
    PolicyOut,
    Reason,
)
from modelyard_registry.domain.errors import AliasNotFound
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases import aliases, models
from modelyard_runtime.auth import Principal
from modelyard_runtime.errors import Invalid
from modelyard_runtime.http import require

Reader = Annotated[Principal, Depends(require("read"))]
Writer = Annotated[Principal, Depends(require("write"))]


def actor_of(principal: Principal, claimed: str | None) -> str:
    """Only a service may say on whose behalf it acts."""
    return claimed if claimed and principal.may("service") else principal.name


def routes(deps: Deps) -> APIRouter:
    router = APIRouter(prefix="/v1/models")
    _models(router, deps)
    _aliases(router, deps)
    _policies(router, deps)
    return router


def _models(router: APIRouter, deps: Deps) -> None:
    @router.post("", status_code=201)
    def create_model(body: NewModel, response: Response, principal: Writer) -> ModelOut:
        model, new = models.create_model(
            deps,
            body.name,
            description=body.description,
            owner=body.owner,
            labels=dict(body.labels),
            actor=principal.name,
        )
        response.status_code = 201 if new else 200
        return show_model(model.name, principal)

    @router.get("")
    def list_models(_: Reader, limit: Limit = 100, after: Annotated[str, Query(max_length=128)] = "") -> Page[ModelOut]:
        with deps.storage.read() as records:
            found = records.models(after, limit + 1)
            held = records.aliases_of_all([model.name for model in found])
        items = [ModelOut.of(model, held[model.name]) for model in found[:limit]]
        return Page(items=items, next_after=items[-1].name if len(found) > limit else None)

    @router.get("/{model}")
    def show_model(model: ModelName, _: Reader) -> ModelOut:
        with deps.storage.read() as records:
            return ModelOut.of(records.model(model), records.aliases_of_all([model])[model])

    @router.get("/{model}/history")
    def history(model: ModelName, _: Reader, after: After = 0, limit: Limit = 100) -> Page[EntryOut]:
        with deps.storage.read() as records:
            records.model(model)
            found = records.history(model, after, limit + 1)
        items = [EntryOut.of(entry) for entry in found[:limit]]
        return Page(items=items, next_after=items[-1].position if len(found) > limit else None)


def _aliases(router: APIRouter, deps: Deps) -> None:
    @router.get("/{model}/aliases")
    def list_aliases(model: ModelName, _: Reader) -> Page[AliasOut]:
        with deps.storage.read() as records:
            records.model(model)
            return Page(items=[AliasOut.of(alias) for alias in records.aliases(model)])

    @router.get("/{model}/aliases/{alias}")
    def show_alias(model: ModelName, alias: str, _: Reader) -> AliasOut:
        with deps.storage.read() as records:
            records.model(model)
            found = records.alias(model, alias)
        if found is None or found.version is None:
            raise AliasNotFound(model, alias)
        return AliasOut.of(found)

    @router.put("/{model}/aliases/{alias}")
    def move_alias(model: ModelName, alias: str, body: AliasMove, principal: Writer) -> AliasOut:
        story = models.begin_story(deps, actor_of(principal, body.actor), body.reason)
        moved = aliases.move_alias(
            deps, model, alias, body.version, expected_generation=body.expected_generation, story=story
        )
        return AliasOut.of(moved)

    @router.delete("/{model}/aliases/{alias}", status_code=204)
    def drop_alias(
        model: ModelName, alias: str, expected_generation: After, reason: Annotated[Reason, Query()], principal: Writer
    ) -> None:
        story = models.begin_story(deps, principal.name, reason)
        aliases.drop_alias(deps, model, alias, expected_generation=expected_generation, story=story)


def _policies(router: APIRouter, deps: Deps) -> None:
    @router.get("/{model}/policies/{kind}")
    def show_policy(model: ModelName, kind: str, _: Reader) -> PolicyOut:
        with deps.storage.read() as records:
            return PolicyOut.model_validate(models.policy_of(records, model, kind))

    @router.put("/{model}/policies/{kind}")
    def set_policy(model: ModelName, kind: str, body: NewPolicy, principal: Writer) -> PolicyOut:
        with deps.storage.read() as records:
            models.policy_of(records, model, kind)
        story = models.begin_story(deps, actor_of(principal, body.actor), body.reason)
        policy = models.set_policy(
            deps,
            model,
            kind,
            checked_policy(kind, body.document),
            expected_revision=body.expected_revision,
            story=story,
        )
        return PolicyOut.model_validate(policy)


def checked_policy(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """The document with all its fields; Invalid names the one that is wrong."""
    try:
        return POLICIES[kind].model_validate(document).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(("document", *(str(part) for part in first["loc"])))
        raise Invalid(f"{field}: {first['msg']}", field=field) from error
