"""API keys in SQL."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from modelyard_registry.domain.values import ApiKey
from modelyard_registry.store.rows import fields
from modelyard_registry.store.tables import api_keys as t


class SqlKeys:
    """One connection's view; writes belong inside a transaction."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, key: ApiKey) -> None:
        roles = {workspace: list(roles) for workspace, roles in key.roles.items()}
        self._db.execute(insert(t).values(**{**asdict(key), "roles": roles}))

    def get(self, key_id: str) -> ApiKey | None:
        row = self._db.execute(select(t).where(t.c.id == key_id)).one_or_none()
        return _key(row) if row else None

    def all(self) -> Sequence[ApiKey]:
        return [_key(row) for row in self._db.execute(select(t).order_by(t.c.created_at, t.c.id))]

    def revoke(self, key_id: str, at: datetime) -> None:
        self._db.execute(update(t).where(t.c.id == key_id).values(revoked_at=at))

    def expire(self, key_id: str, at: datetime | None) -> None:
        self._db.execute(update(t).where(t.c.id == key_id).values(expires_at=at))

    def set_hash(self, key_id: str, secret_id: str, secret_hash: str) -> None:
        values = {"hash_secret_id": secret_id, "secret_hash": secret_hash}
        self._db.execute(update(t).where(t.c.id == key_id).values(**values))


def _key(row: Row[Any]) -> ApiKey:
    found = fields(row)
    roles = {workspace: tuple(roles) for workspace, roles in found["roles"].items()}
    scopes = None if found["scopes"] is None else tuple(found["scopes"])
    return ApiKey(**{**found, "roles": roles, "scopes": scopes})
