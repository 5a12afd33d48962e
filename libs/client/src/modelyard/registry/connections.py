"""Connections to providers of models."""

from modelyard.errors import ApiError
from modelyard.records import HistoryEntry
from modelyard.registry.paths import PagedClient
from modelyard.results.registry import ConnectionInfo
from modelyard.transport import given, part
from modelyard_contracts.connections import Connection


class ConnectionsClient(PagedClient):
    """Connections to providers of models."""

    def connections(self, *, workspace: str | None = None) -> tuple[ConnectionInfo, ...]:
        """All that the caller may read, by name."""
        return tuple(map(ConnectionInfo.model_validate, self.pages("/v1/connections", workspace=workspace)))

    def connection(self, name: str) -> ConnectionInfo:
        """One connection, with the versions that name it; connection_not_found (404) otherwise."""
        return ConnectionInfo.model_validate(self.get(_path(name)))

    def current_connection(self, name: str) -> tuple[int, Connection | None]:
        """Revision and content as a process that calls the provider needs them; (0, None) without the connection."""
        try:
            found = self.connection(name)
        except ApiError as error:
            if error.status == 404:
                return 0, None
            raise
        return found.revision, found.document

    def set_connection(
        self, name: str, connection: Connection, *, expected_revision: int, reason: str = "", actor: str | None = None
    ) -> ConnectionInfo:
        """Create it (`expected_revision` 0) or replace it; conflict (409) when another change came first."""
        document = connection.model_dump(mode="json")
        body = {"document": document, "expected_revision": expected_revision, "reason": reason, "actor": actor}
        return ConnectionInfo.model_validate(self.request("PUT", _path(name), json=given(body)).json())

    def delete_connection(self, name: str, *, expected_revision: int, reason: str) -> None:
        """Delete it; conflict (409) `connection_in_use` while a version that is not retired names it."""
        self.request("DELETE", _path(name), params={"expected_revision": expected_revision, "reason": reason})

    def connection_history(self, name: str) -> tuple[HistoryEntry, ...]:
        """Every revision with who set it, when and why, oldest first."""
        return tuple(map(HistoryEntry.model_validate, self.pages(f"{_path(name)}/history")))


def _path(name: str) -> str:
    return f"/v1/connections/{part(name)}"
