"""Reads over all resources: versions at a stage, the audit list, the caller."""

from datetime import datetime

from modelyard.records import AuditPage, DigestMatch, Me, NeglectedModel, NeglectedPage, StagedVersionPage
from modelyard.registry.paths import PagedClient
from modelyard.transport import part
from modelyard_contracts import VersionStage


class OverviewClient(PagedClient):
    """Lists over everything that the caller may read."""

    def versions_at(
        self,
        stage: VersionStage | str = VersionStage.EVALUATED,
        *,
        kind: str = "model",
        limit: int = 100,
        after: str | None = None,
    ) -> StagedVersionPage:
        """One page of the versions at a stage, of all models, newest first."""
        found = self.get("/v1/versions", stage=str(stage), kind=kind, limit=limit, after=after)
        return StagedVersionPage.model_validate(found)

    def find_digest(self, digest: str, *, limit: int = 20) -> tuple[DigestMatch, ...]:
        """Versions whose manifest or one of whose files has a digest, newest first. digest: 6 or more digits of it."""
        found = self.get(f"/v1/digests/{part(digest)}", limit=limit)["items"]
        return tuple(map(DigestMatch.model_validate, found))

    def catalogue_problems(self) -> tuple[NeglectedModel, ...]:
        """Models without owner or card, that never had traffic, or that are duplicates, by name."""
        return tuple(map(NeglectedModel.model_validate, self.pages("/v1/catalogue/problems")))

    def catalogue_problems_page(self, *, after: str | None = None, limit: int = 100) -> NeglectedPage:
        """One page of these models."""
        return NeglectedPage.model_validate(self.get("/v1/catalogue/problems", after=after, limit=limit))

    def audit(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        model: str | None = None,
        q: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> AuditPage:
        """One page of all changes, newest first. q: part of the reason, actor, action or name."""
        times = {name: at.isoformat() if at else None for name, at in (("since", since), ("until", until))}
        asked = {"actor": actor, "action": action, "model": model, "q": q, "limit": limit, "after": after}
        return AuditPage.model_validate(self.get("/v1/audit", **asked, **times))

    def me(self) -> Me:
        """Identity, roles and scopes of this client's key."""
        return Me.model_validate(self.get("/v1/me"))
