"""Response bodies about API keys."""

from datetime import datetime

from pydantic import BaseModel

from modelyard_registry.domain.values import ApiKey


class MeOut(BaseModel):
    """roles: workspace, or `*` for all, to roles. scopes: they narrow the roles; null does not."""

    identity: str
    kind: str
    roles: dict[str, list[str]]
    scopes: list[str] | None
    expires_at: datetime | None


class KeyOut(BaseModel):
    """key: the text of a new key; null in every other answer."""

    id: str
    name: str
    kind: str
    roles: dict[str, list[str]]
    scopes: list[str] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    replaces: str | None
    key: str | None = None

    @classmethod
    def of(cls, key: ApiKey, text: str | None = None) -> "KeyOut":
        return cls(
            id=key.id,
            name=key.identity,
            kind=key.kind,
            roles={workspace: list(roles) for workspace, roles in key.roles.items()},
            scopes=None if key.scopes is None else list(key.scopes),
            created_at=key.created_at,
            created_by=key.created_by,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            replaces=key.replaces,
            key=text,
        )


class IntrospectionOut(BaseModel):
    """Only `active` when the key is unknown, expired or revoked."""

    active: bool
    identity: str | None = None
    kind: str | None = None
    roles: dict[str, list[str]] | None = None
    scopes: list[str] | None = None
    expires_at: datetime | None = None

    @classmethod
    def of(cls, key: ApiKey | None) -> "IntrospectionOut":
        if key is None:
            return cls(active=False)
        return cls(
            active=True,
            identity=key.identity,
            kind=key.kind,
            roles={workspace: list(roles) for workspace, roles in key.roles.items()},
            scopes=None if key.scopes is None else list(key.scopes),
            expires_at=key.expires_at,
        )
