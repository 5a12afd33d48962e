"""Cards of model versions: `/v1/models/{reference}/versions/{version}/card`."""

from typing import Annotated, Any, Final, Literal

import yaml
from fastapi import APIRouter, Depends, Query, Response

from modelyard_contracts.card import CardDocument, CardProse, CardRevision
from modelyard_contracts.references import Kind
from modelyard_registry.api.callers import actor_of
from modelyard_registry.api.fields import Limit, ReferencePath, VersionNumber
from modelyard_registry.api.requests import CardBody
from modelyard_registry.api.responses import Page
from modelyard_registry.domain.cards import front_matter, markdown
from modelyard_registry.domain.errors import CardNotReleased
from modelyard_registry.domain.names import model_key
from modelyard_registry.domain.ports import Deps
from modelyard_registry.usecases.cards import edit_card, show_card
from modelyard_registry.usecases.history import origin_of
from modelyard_runtime.access import Principal
from modelyard_runtime.http import allow

MODEL: Final = Kind.MODEL.value
Format = Annotated[
    Literal["markdown", "yaml", "json"],
    Query(description="`markdown` begins with front matter in YAML, in the form of the Hugging Face Hub"),
]
FORMS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/markdown": {}, "application/yaml": {}}, "model": CardDocument}
}


def routes(deps: Deps) -> APIRouter:
    """The card in three forms, its prose, and the card as it was approved."""
    router = APIRouter(prefix="/v1/models/{reference}/versions/{version}/card", tags=[MODEL])
    _read(router, deps)
    _edit(router, deps)
    return router


def _read(router: APIRouter, deps: Deps) -> None:
    reader = Depends(allow("read", MODEL))

    @router.get("", response_class=Response, responses=FORMS)
    def card(
        reference: ReferencePath, version: VersionNumber, format: Format = "markdown", _: Principal = reader
    ) -> Response:
        """Describe the version for people: recorded facts and the prose of today."""
        document = show_card(deps, model_key(reference), version)
        if format == "json":
            return Response(document.model_dump_json(), media_type="application/json")
        header = yaml.safe_dump(front_matter(document.card), sort_keys=False, allow_unicode=True)
        if format == "yaml":
            return Response(header, media_type="application/yaml")
        return Response(f"---\n{header}---\n\n{markdown(document)}", media_type="text/markdown")

    @router.get("/released", response_class=Response, responses={200: {"content": {"application/json": {}}}})
    def released(reference: ReferencePath, version: VersionNumber, _: Principal = reader) -> Response:
        """Return the card as it was when the version was first approved: the bytes that the digest is of."""
        with deps.storage.read() as records:
            resource = records.resources.get(model_key(reference))
            found = records.versions.get(resource, version)
            data = records.cards.released(resource, version)
        if data is None:
            raise CardNotReleased(version)
        return Response(data, media_type="application/json", headers={"x-modelyard-digest": str(found.card_digest)})

    @router.get("/revisions")
    def revisions(
        reference: ReferencePath, version: VersionNumber, limit: Limit = 100, _: Principal = reader
    ) -> Page[CardRevision]:
        """Every revision of the prose with its author and reason, newest first."""
        with deps.storage.read() as records:
            resource = records.resources.get(model_key(reference))
            records.versions.get(resource, version)
            return Page(items=list(records.cards.revisions(resource, version, limit)))


def _edit(router: APIRouter, deps: Deps) -> None:
    updater = Depends(allow("update", MODEL))

    @router.put("")
    def edit(
        reference: ReferencePath, version: VersionNumber, body: CardBody, principal: Principal = updater
    ) -> CardRevision:
        """Store a new revision of the prose. Equal prose changes nothing; conflict (409) when another came first."""
        prose = CardProse.model_validate(body.model_dump(include=set(CardProse.model_fields)))
        origin = origin_of(deps, actor_of(principal, body.actor), body.reason)
        revision = body.expected_revision
        return edit_card(deps, model_key(reference), version, prose, expected_revision=revision, origin=origin)
