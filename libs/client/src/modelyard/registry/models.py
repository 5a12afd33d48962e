"""Models, their history and aliases."""

from collections.abc import Mapping, Sequence
from typing import Literal

from modelyard.errors import ApiError
from modelyard.records import AliasInfo, HistoryEntry, ModelFacets, ModelInfo, ModelPage
from modelyard.registry.paths import PagedClient, model_path
from modelyard.transport import given, part
from modelyard_contracts import VersionStage
from modelyard_contracts.admission import ScanVerdict
from modelyard_contracts.manifest import SourceKind


class ModelsClient(PagedClient):
    """Models, their history and their aliases."""

    def create_model(
        self, name: str, *, description: str = "", owner: str = "", labels: Mapping[str, str] | None = None
    ) -> ModelInfo:
        """Create it, or return it when it is there already; conflict (409) when it is there with other content."""
        body = {"name": name, "description": description, "owner": owner, "labels": dict(labels or {})}
        return ModelInfo.model_validate(self.post("/v1/models", body))

    def set_owner(
        self, name: str, owner: str, *, expected_owner: str, reason: str = "", actor: str | None = None
    ) -> ModelInfo:
        """Compare and swap: conflict (409) when the owner is not `expected_owner` (empty: none) any more."""
        body = {"owner": owner, "expected_owner": expected_owner, "reason": reason, "actor": actor}
        return ModelInfo.model_validate(self.request("PUT", f"{model_path(name)}/owner", json=given(body)).json())

    def model(self, name: str) -> ModelInfo:
        return ModelInfo.model_validate(self.get(model_path(name)))

    def models(
        self, *, dataset: str | None = None, base_model: str | None = None, run: str | None = None
    ) -> tuple[ModelInfo, ...]:
        """All models, or those with a version that was made from a data set, a base model or a run."""
        found = self.pages("/v1/models", dataset=dataset, base_model=base_model, run=run)
        return tuple(ModelInfo.model_validate(item) for item in found)

    def search_models(
        self,
        q: str | None = None,
        *,
        workspace: str | None = None,
        owner: str | None = None,
        label: str | None = None,
        stage: VersionStage | str | None = None,
        alias: str | None = None,
        flavour: str | None = None,
        task: str | None = None,
        framework: str | None = None,
        license: str | None = None,
        source: SourceKind | Literal["trained"] | None = None,
        scan_verdict: ScanVerdict | str | None = None,
        metric: str | None = None,
        dataset: str | None = None,
        base_model: str | None = None,
        run: str | None = None,
        sort: Literal["name", "newest", "versions"] = "name",
        limit: int = 100,
        after: str | None = None,
    ) -> ModelPage:
        """One page of the models that fit every condition.

        q: part of name, description, owner, labels, card or tags. label: `name=value`. metric: `name>=value` or
        `name<=value`. From `flavour` on: of the champion, or of the newest version when there is none. dataset: digest
        of data that a version was made from; base_model: model that it was fine-tuned from; run: id of its run.
        """
        asked = {"q": q, "workspace": workspace, "owner": owner, "label": label, "stage": stage, "alias": alias}
        page = {"flavour": flavour, "task": task, "sort": sort, "limit": limit, "after": after}
        shown = {"framework": framework, "license": license, "source": source, "metric": metric}
        lineage = {"dataset": dataset, "base_model": base_model, "run": run, "scan_verdict": scan_verdict}
        return ModelPage.model_validate(self.get("/v1/models", **asked, **page, **shown, **lineage))

    def model_facets(
        self, q: str | None = None, *, workspace: str | None = None, only: Sequence[str] = ()
    ) -> ModelFacets:
        """Numbers of models by owner, workspace, stage, flavour and task. only: count these; the others are empty."""
        found = self.get("/v1/models/facets", q=q, workspace=workspace, facet=list(only) or None)
        return ModelFacets.model_validate(found)

    def history(self, model: str, *, after: int = 0) -> tuple[HistoryEntry, ...]:
        """Changes of the model, oldest first, after the position `after`."""
        pages = self.pages(f"{model_path(model)}/history", after=after)
        return tuple(HistoryEntry.model_validate(item) for item in pages)

    def alias(self, model: str, alias: str) -> AliasInfo | None:
        """Where the alias points, or None when it points nowhere; not_found (404) when there is no such model."""
        try:
            return AliasInfo.model_validate(self.get(f"{model_path(model)}/aliases/{part(alias)}"))
        except ApiError as error:
            if error.code == "alias_not_found":
                return None
            raise

    def aliases(self, model: str) -> dict[str, AliasInfo]:
        items = self.get(f"{model_path(model)}/aliases")["items"]
        return {item["alias"]: AliasInfo.model_validate(item) for item in items}

    def move_alias(
        self, model: str, alias: str, version: int, *, expected_generation: int, reason: str, actor: str | None = None
    ) -> AliasInfo:
        """Compare and swap: conflict (409) naming the current generation if another came first; 0 for a new one."""
        body = {"version": version, "expected_generation": expected_generation, "reason": reason, "actor": actor}
        path = f"{model_path(model)}/aliases/{part(alias)}"
        return AliasInfo.model_validate(self.request("PUT", path, json=given(body)).json())

    def drop_alias(self, model: str, alias: str, *, expected_generation: int, reason: str) -> None:
        """Let the alias point nowhere; its generation goes on."""
        parameters = {"expected_generation": expected_generation, "reason": reason}
        self.request("DELETE", f"{model_path(model)}/aliases/{part(alias)}", params=parameters)
