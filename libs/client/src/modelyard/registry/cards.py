"""Cards of versions."""

from typing import Literal

from modelyard.registry.paths import PagedClient, version_path
from modelyard.transport import given
from modelyard_contracts.card import CardDocument, CardProse, CardRevision, ModelCard


class CardsClient(PagedClient):
    """Descriptions of versions for people."""

    def card(self, model: str, version: int, *, format: Literal["markdown", "yaml"] = "markdown") -> str:
        """The card as text: Markdown with front matter, or the front matter alone."""
        path = f"{version_path(model, version)}/card"
        return self.request("GET", path, params={"format": format}).text

    def card_document(self, model: str, version: int) -> CardDocument:
        """The card of today, with its release."""
        return CardDocument.model_validate(self.get(f"{version_path(model, version)}/card", format="json"))

    def released_card(self, model: str, version: int) -> ModelCard:
        """The card as it was when the version was first approved; not_found (404) before that."""
        return ModelCard.model_validate(self.get(f"{version_path(model, version)}/card/released"))

    def card_revisions(self, model: str, version: int) -> tuple[CardRevision, ...]:
        """Every revision of the prose, newest first."""
        items = self.get(f"{version_path(model, version)}/card/revisions")["items"]
        return tuple(map(CardRevision.model_validate, items))

    def edit_card(
        self,
        model: str,
        version: int,
        prose: CardProse,
        *,
        expected_revision: int,
        reason: str,
        actor: str | None = None,
    ) -> CardRevision:
        """Store a new revision of the prose. expected_revision: the newest one seen, 0 for none; 409 when it is not."""
        body = {**prose.model_dump(), "expected_revision": expected_revision, "reason": reason, "actor": actor}
        response = self.request("PUT", f"{version_path(model, version)}/card", json=given(body))
        return CardRevision.model_validate(response.json())
