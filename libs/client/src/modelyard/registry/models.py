"""Models, their history and aliases."""

from collections.abc import Mapping

from modelyard.errors import ApiError
from modelyard.records import AliasInfo, HistoryEntry, ModelInfo
from modelyard.registry.paths import PagedClient, model_path
from modelyard.transport import given, part


class ModelsClient(PagedClient):
    """Models, their history and their aliases."""

    def create_model(
        self, name: str, *, description: str = "", owner: str = "", labels: Mapping[str, str] | None = None
    ) -> ModelInfo:
        """Create it, or return it when it is there already; conflict (409) when it is there with other content."""
        body = {"name": name, "description": description, "owner": owner, "labels": dict(labels or {})}
        return ModelInfo.model_validate(self.post("/v1/models", body))

    def model(self, name: str) -> ModelInfo:
        return ModelInfo.model_validate(self.get(model_path(name)))

    def models(self) -> tuple[ModelInfo, ...]:
        return tuple(ModelInfo.model_validate(item) for item in self.pages("/v1/models"))

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
