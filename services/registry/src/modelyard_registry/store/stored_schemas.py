"""Schemas for the registry's own consumer."""

from modelyard_registry.domain.ports import Storage


class StoredSchemas:
    """Finds schemas that this release does not carry in the registry's own tables."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def by_id(self, schema_id: int) -> str | None:
        with self._storage.read() as records:
            return records.schemas.text(schema_id) if schema_id < 2**31 else None

    def by_fingerprint(self, hexadecimal: str) -> str | None:
        with self._storage.read() as records:
            known = records.schemas.by_fingerprint(hexadecimal)
        return known[1] if known else None
