"""Workspaces and API keys."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from modelyard.records import ApiKeyInfo, WorkspaceInfo
from modelyard.registry.paths import PagedClient
from modelyard.transport import part


class KeysClient(PagedClient):
    """Workspaces and API keys."""

    def workspaces(self) -> tuple[WorkspaceInfo, ...]:
        """Workspaces that the caller may read, by name."""
        return tuple(map(WorkspaceInfo.model_validate, self.pages("/v1/workspaces")))

    def create_workspace(self, name: str, *, description: str = "", owner: str = "") -> WorkspaceInfo:
        """Create it, or return it when it exists with the same content; conflict (409) when with other content."""
        body = {"name": name, "description": description, "owner": owner}
        return WorkspaceInfo.model_validate(self.post("/v1/workspaces", body))

    def create_key(
        self,
        name: str,
        roles: Mapping[str, Sequence[str]],
        *,
        scopes: Sequence[str] | None = None,
        expires_at: datetime | None = None,
    ) -> ApiKeyInfo:
        """Create a key with roles per workspace (`*`: all); its text is in this answer and cannot be read again."""
        body = {
            "name": name,
            "roles": {workspace: list(names) for workspace, names in roles.items()},
            "scopes": None if scopes is None else list(scopes),
            "expires_at": expires_at.isoformat() if expires_at else None,
        }
        return ApiKeyInfo.model_validate(self.post("/v1/keys", body))

    def api_keys(self) -> tuple[ApiKeyInfo, ...]:
        """Keys whose roles the caller manages, oldest first."""
        return tuple(ApiKeyInfo.model_validate(item) for item in self.get("/v1/keys")["items"])

    def rotate_key(self, key_id: str, *, grace_s: int = 3_600) -> ApiKeyInfo:
        """Create a key that replaces this one, which expires after `grace_s` seconds."""
        return ApiKeyInfo.model_validate(self.post(f"/v1/keys/{part(key_id)}/rotate", {"grace_s": grace_s}))

    def revoke_key(self, key_id: str) -> None:
        """Refuse the key from now on; services notice within 30 s."""
        self.request("DELETE", f"/v1/keys/{part(key_id)}")

    def introspect(self, key: str) -> dict[str, Any]:
        """`{"active", "identity", "kind", "roles", "scopes", "expires_at"}`; for services."""
        answer: dict[str, Any] = self.post("/v1/keys/introspect", {"key": key})
        return answer
